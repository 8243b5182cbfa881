"""A scheduler's end of the event queue, which all schedulers share."""

from __future__ import annotations

import threading
from typing import Any

import structlog

from services.backends.rabbitmq.link import CALL_SECONDS, Link
from services.backends.rabbitmq.messages import DamagedMessage, read_event
from services.core.jobs import JobEvent

__all__ = ["EventReceiver"]

_log = structlog.get_logger("rabbitmq")


class EventReceiver:
    """Consumes from the first `receive` on: who never asks takes nothing away from the others.

    Events are acknowledged as they come; those of a scheduler that dies are found by the sweep.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._events: dict[JobEvent, None] = {}
        self._is_added = False
        self._closed = False
        self._consuming: Any = None  # IO thread

    def receive(self, timeout_seconds: float) -> tuple[JobEvent, ...]:
        """See `TaskQueue.receive_events`."""
        with self._changed:
            add, self._is_added = not self._is_added and not self._closed, True
        if add:
            self._link.add(self)
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._closed, timeout_seconds)
            events, self._events = tuple(self._events), {}
            return events

    def close(self) -> None:
        """Wake everybody; idempotent."""
        self._link.remove(self)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def attach(self, connection: Any) -> None:
        """Consume on a channel of its own."""
        connection.channel(on_open_callback=self._on_channel)

    def detach(self) -> None:
        """Nothing to forget: what came is ours."""

    def _on_channel(self, channel: Any) -> None:
        self._consuming = None
        # Else a scheduler whose call is left unanswered would hear of nothing but by the sweep.
        self._link.later(CALL_SECONDS, lambda: self._reset_unless_consuming(channel))
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_cancel_callback(lambda _frame: self._link.reset("the event queue was deleted."))
        channel.basic_consume(
            self._link.topology.events,
            on_message_callback=self._on_message,
            auto_ack=True,
            callback=lambda _reply: self._on_consuming(channel),
        )

    def _on_consuming(self, channel: Any) -> None:
        self._consuming = channel

    def _reset_unless_consuming(self, channel: Any) -> None:
        if self._consuming is not channel and not self._closed and channel.is_open:
            self._link.reset("the event queue left a call unanswered.")

    def _on_channel_closed(self, channel: Any, reason: Any) -> None:
        if not self._closed and channel.connection.is_open:
            self._link.reset(f"the broker closed the event channel: {getattr(reason, 'reply_text', reason)}.")

    def _on_message(self, _channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        try:
            event = read_event(body)
        except DamagedMessage as error:
            # The sweep finds the job, if there is one.
            _log.error("damaged event dropped", reason=str(error))
            return
        with self._changed:
            self._events[event] = None
            self._changed.notify_all()
