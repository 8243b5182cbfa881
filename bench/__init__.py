"""Measured comparisons; nothing here is asserted by a test."""
