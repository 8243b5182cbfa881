"""Runs bundles of tasks on the kernel."""

from services.worker.worker import Worker

__all__ = ["Worker"]
