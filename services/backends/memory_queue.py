"""The task queue inside one process (`memory://`): the same promises as the broker's, without a server."""

from __future__ import annotations

import os
import secrets
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from services.core.errors import QueueUnavailable
from services.core.jobs import JobEvent
from services.core.ports import BundleConsumer, DeadBundle
from services.core.tasks import Bundle

__all__ = ["MemoryConsumer", "MemoryDelivery", "MemoryQueue"]

_DELIVERY_LIMIT = 3


@dataclass(slots=True)
class _Message:
    bundle: Bundle
    rejections: int = 0
    was_delivered: bool = False


class MemoryQueue:
    """`services.core.ports.TaskQueue`; everything in it ends with the process."""

    def __init__(self, *, delivery_limit: int = _DELIVERY_LIMIT) -> None:
        """Make an empty queue.

        A bundle is redelivered at most `delivery_limit` times after a reject, as with RabbitMQ's
        `x-delivery-limit`; the next reject dead-letters it.
        """
        self._name = f"memory://{os.getpid()}-{secrets.token_hex(8)}"
        self._delivery_limit = delivery_limit
        self._closed = False
        self._waiting: deque[_Message] = deque()
        self._events: dict[JobEvent, None] = {}
        self._dead: list[DeadBundle] = []
        self._consumers: set[MemoryConsumer] = set()
        self._lock = threading.Lock()
        self._bundles_changed = threading.Condition(self._lock)
        self._events_changed = threading.Condition(self._lock)
        self._dead_changed = threading.Condition(self._lock)

    @property
    def name(self) -> str:
        """See the port."""
        return self._name

    @property
    def is_shared(self) -> bool:
        """False."""
        return False

    def publish_bundles(self, bundles: Sequence[Bundle]) -> None:
        """See the port."""
        with self._lock:
            self._check_open()
            self._waiting.extend(map(_Message, bundles))
            self._bundles_changed.notify_all()

    def publish_event(self, event: JobEvent) -> None:
        """See the port."""
        with self._lock:
            self._check_open()
            self._events[event] = None
            self._events_changed.notify_all()

    def open_bundle_consumer(self, slots: int) -> BundleConsumer:
        """See the port."""
        if slots < 1:
            raise ValueError(f"A consumer needs at least one slot, not {slots}.")
        with self._lock:
            self._check_open()
            consumer = MemoryConsumer(self, slots)
            self._consumers.add(consumer)
            return consumer

    def receive_events(self, timeout_seconds: float) -> tuple[JobEvent, ...]:
        """See the port."""
        with self._lock:
            self._events_changed.wait_for(lambda: self._events or self._closed, timeout_seconds)
            events, self._events = tuple(self._events), {}
            return events

    def receive_dead_bundles(self, timeout_seconds: float) -> tuple[DeadBundle, ...]:
        """See the port."""
        with self._lock:
            self._dead_changed.wait_for(lambda: self._dead or self._closed, timeout_seconds)
            dead, self._dead = tuple(self._dead), []
            return dead

    def forget_dead_bundle(self, dead: DeadBundle) -> None:
        """See the port. It was forgotten when it was handed out: nobody else could be handed it."""

    def slots(self) -> int:
        """See the port."""
        with self._lock:
            return sum(consumer.slots for consumer in self._consumers if not consumer.is_cancelled)

    def waiting_bundles(self) -> int:
        """See the port."""
        with self._lock:
            return len(self._waiting)

    def ping(self) -> None:
        """See the port."""
        with self._lock:
            self._check_open()

    def close(self) -> None:
        """See the port. What the queue still held is gone."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            self._events.clear()
            self._dead.clear()
            self._consumers.clear()
            self._bundles_changed.notify_all()
            self._events_changed.notify_all()
            self._dead_changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise QueueUnavailable("The task queue is closed.", "QUEUE_CLOSED")

    def _take(self, consumer: MemoryConsumer, timeout_seconds: float) -> MemoryDelivery | None:
        def is_decided() -> bool:
            if consumer not in self._consumers or consumer.is_cancelled:
                return True
            return bool(self._waiting) and len(consumer.unacknowledged) < consumer.slots

        with self._lock:
            if not self._bundles_changed.wait_for(is_decided, timeout_seconds):
                return None
            if consumer not in self._consumers or consumer.is_cancelled:
                return None
            message = self._waiting.popleft()
            delivery = MemoryDelivery(self, consumer, message, redelivered=message.was_delivered)
            message.was_delivered = True
            consumer.unacknowledged.append(delivery)
            return delivery

    def _settle(self, delivery: MemoryDelivery, *, front: bool, rejection: str | None) -> None:
        with self._lock:
            consumer, message = delivery.consumer, delivery.message
            if delivery not in consumer.unacknowledged:
                return  # its consumer was closed meanwhile, and the bundle comes again
            consumer.unacknowledged.remove(delivery)
            if front:
                self._waiting.appendleft(message)
            elif rejection is not None:
                message.rejections += 1
                if message.rejections > self._delivery_limit:
                    self._dead.append(DeadBundle(message.bundle, rejection))
                    self._dead_changed.notify_all()
                else:
                    # To the back: a bundle that fails must not hold up those that would not.
                    self._waiting.append(message)
            self._bundles_changed.notify_all()

    def _cancel_consumer(self, consumer: MemoryConsumer) -> None:
        with self._lock:
            consumer.is_cancelled = True
            self._bundles_changed.notify_all()

    def _close_consumer(self, consumer: MemoryConsumer) -> None:
        with self._lock:
            if consumer in self._consumers:
                self._consumers.remove(consumer)
                self._waiting.extendleft(delivery.message for delivery in reversed(consumer.unacknowledged))
            consumer.unacknowledged.clear()
            self._bundles_changed.notify_all()


class MemoryConsumer:
    """`services.core.ports.BundleConsumer`; made by `MemoryQueue.open_bundle_consumer`."""

    def __init__(self, queue: MemoryQueue, slots: int) -> None:
        """Take at most `slots` bundles at a time from this queue."""
        self.slots = slots
        self.is_cancelled = False
        self.unacknowledged: list[MemoryDelivery] = []
        self._queue = queue

    def receive(self, timeout_seconds: float) -> MemoryDelivery | None:
        """See the port."""
        return self._queue._take(self, timeout_seconds)

    def cancel(self) -> None:
        """See the port."""
        self._queue._cancel_consumer(self)

    def close(self) -> None:
        """See the port."""
        self._queue._close_consumer(self)


class MemoryDelivery:
    """`services.core.ports.BundleDelivery`; made by `MemoryConsumer.receive`."""

    def __init__(
        self, queue: MemoryQueue, consumer: MemoryConsumer, message: _Message, *, redelivered: bool
    ) -> None:
        """Hand this message to this consumer."""
        self.consumer = consumer
        self.message = message
        self._queue = queue
        self._redelivered = redelivered

    @property
    def bundle(self) -> Bundle:
        """See the port."""
        return self.message.bundle

    @property
    def redelivered(self) -> bool:
        """See the port."""
        return self._redelivered

    def ack(self) -> None:
        """See the port."""
        self._queue._settle(self, front=False, rejection=None)

    def requeue(self) -> None:
        """See the port. It is the next to be delivered, and nothing is counted."""
        self._queue._settle(self, front=True, rejection=None)

    def reject(self, reason: str) -> None:
        """See the port."""
        self._queue._settle(self, front=False, rejection=reason)
