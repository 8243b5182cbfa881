"""Expands jobs into tasks, publishes bundles, sweeps what got lost."""

from services.scheduler.scheduler import Scheduler

__all__ = ["Scheduler"]
