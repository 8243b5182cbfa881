"""Structured logs on stderr, of ours and of the libraries that log in Python's own way."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

__all__ = ["configure_logs"]


def configure_logs(level: str, form: Literal["json", "text"]) -> None:
    """Write log lines of this level and above to stderr, as JSON or as text."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    root = logging.getLogger()
    if not any(isinstance(handler, _FromLibraries) for handler in root.handlers):
        root.addHandler(_FromLibraries())
    # It writes seven lines for each attempt to connect; what they say it also calls back, and we tell in one.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


class _FromLibraries(logging.Handler):
    """Has libraries' warnings and errors written as our lines are; without it Python writes bare text."""

    def __init__(self) -> None:
        # Less severe lines are for who works on these libraries, and may show what was sent.
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, with what is bound to the thread that it comes from."""
        try:
            level = logging.ERROR if record.levelno >= logging.ERROR else logging.WARNING
            structlog.get_logger().log(
                level, record.getMessage(), library=record.name, exc_info=record.exc_info
            )
        except (TypeError, ValueError, OSError):
            # As every handler: a line that cannot be written stops no work.
            self.handleError(record)
