"""Runs bundles of tasks on the kernel."""
