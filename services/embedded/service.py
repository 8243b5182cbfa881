"""The composition root of the embedded service."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from types import TracebackType

import structlog

from services.backends.open import open_objects, open_queue, open_store
from services.core.clock import utc_now
from services.core.datasets import original_key, table_key
from services.core.errors import NotFound
from services.core.ports import ObjectStore, Store
from services.core.settings import Settings
from services.embedded.home import Home
from services.gateway.server import Gateway
from services.scheduler.scheduler import Scheduler
from services.worker.worker import Worker

__all__ = ["EmbeddedService"]

_log = structlog.get_logger()
