"""The whole service in one process: embedded backends, gateway, scheduler and workers."""
