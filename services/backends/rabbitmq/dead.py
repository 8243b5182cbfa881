"""The sweep's end of the dead-letter queue."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import Any

import pika  # type: ignore[import-untyped]
import structlog

from services.backends.rabbitmq.link import Link, resolve
from services.backends.rabbitmq.messages import (
    BundleMessage,
    DamagedMessage,
    damaged_copy,
    was_rejected,
    why_dead,
)
from services.backends.rabbitmq.outbox import Outbox
from services.core.errors import QueueUnavailable
from services.core.ports import DeadBundle

__all__ = ["DeadBundleReader"]

_MOST_AT_ONCE = 256
# Only for callers that wait, which the sweep does not.
_POLL_SECONDS = 0.1

_log = structlog.get_logger("rabbitmq")


class DeadBundleReader:
    """Fetches dead bundles one by one, without a subscription.

    A subscription would push them to a scheduler that may have lost the sweep to another one meanwhile.
    """

    def __init__(self, link: Link, outbox: Outbox) -> None:
        self._link = link
        self._outbox = outbox
        self._closed = threading.Event()
        self._one_at_a_time = threading.Lock()
        # IO thread.
        self._channel: Any = None
        self._taken: list[DeadBundle] = []
        self._future: Future[tuple[DeadBundle, ...]] | None = None

    def receive(self, timeout_seconds: float) -> tuple[DeadBundle, ...]:
        """See `TaskQueue.receive_dead_bundles`; () while there is no connection, too."""
        deadline = time.monotonic() + timeout_seconds
        while not self._closed.is_set():
            dead: tuple[DeadBundle, ...] = ()
            try:
                with self._one_at_a_time:
                    dead = self._link.call(self._fetch)
            except QueueUnavailable as error:
                _log.debug("dead bundles not fetched", error=str(error))
            remaining = deadline - time.monotonic()
            if dead or remaining <= 0:
                return dead
            self._closed.wait(min(_POLL_SECONDS, remaining))
        return ()

    def forget(self, dead: DeadBundle) -> None:
        """See `TaskQueue.forget_dead_bundle`."""
        self._link.post(lambda: self._acknowledge(dead.receipt))

    def close(self) -> None:
        """Wake everybody; idempotent. What was handed out and not forgotten comes again, to somebody."""
        self._closed.set()
        self._link.remove(self)

    def attach(self, connection: Any) -> None:
        """Open a channel of its own."""
        connection.channel(on_open_callback=self._on_channel)

    def detach(self) -> None:
        """What was handed out on the lost channel comes again."""
        self._channel = None
        self._future = None

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_callback(self._on_empty, [pika.spec.Basic.GetEmpty], one_shot=False)

    def _on_channel_closed(self, channel: Any, reason: Any) -> None:
        if channel is not self._channel:
            return
        self.detach()
        if not self._closed.is_set() and channel.connection.is_open:
            # After the broker's consumer_timeout, when no sweep asked for so long.
            _log.warning("dead-letter channel is opened again", reason=getattr(reason, "reply_text", ""))
            self._link.later(1.0, lambda: self.attach(channel.connection))

    def _fetch(self, future: Future[tuple[DeadBundle, ...]]) -> None:
        if self._channel is None or not self._channel.is_open:
            resolve(future, ())
            return
        self._taken = []
        self._future = future
        self._fetch_one()

    def _acknowledge(self, receipt: Any) -> None:
        channel, tag = receipt
        if channel is self._channel and channel.is_open:
            channel.basic_ack(tag)

    def _fetch_one(self) -> None:
        self._channel.basic_get(self._link.topology.dead, callback=self._on_message)

    def _on_message(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        try:
            message = BundleMessage.read(body, properties, redelivered=True)
        except DamagedMessage as error:
            topology = self._link.topology
            _log.error("damaged dead message put aside", queue=topology.damaged, reason=str(error))
            copy = damaged_copy(topology.dead, topology.damaged_key, body, properties, str(error))

            def put_aside(failure: str) -> None:
                if not failure and channel.is_open:
                    channel.basic_ack(method.delivery_tag)

            self._outbox.send([copy], put_aside)
        else:
            self._taken.append(
                DeadBundle(
                    message.bundle,
                    why_dead(message, properties),
                    was_rejected=was_rejected(message, properties),
                    receipt=(channel, method.delivery_tag),
                )
            )
        if len(self._taken) < _MOST_AT_ONCE:
            self._fetch_one()
        else:
            self._on_empty(None)

    def _on_empty(self, _frame: object) -> None:
        future, self._future = self._future, None
        if future is not None:
            resolve(future, tuple(self._taken))
