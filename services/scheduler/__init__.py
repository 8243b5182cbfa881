"""Expands jobs into tasks, publishes bundles, sweeps what got lost."""
