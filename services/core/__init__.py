"""The domain: values, planning, reporting, errors, settings and ports.

No IO, no clock, no global randomness.
"""
