"""The task queue on RabbitMQ: bundles in a quorum queue, job events in a small classic one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from services.backends.rabbitmq.consumer import RabbitConsumer
from services.backends.rabbitmq.dead import DeadBundleReader
from services.backends.rabbitmq.events import EventReceiver
from services.backends.rabbitmq.link import Link, resolve
from services.backends.rabbitmq.location import Location
from services.backends.rabbitmq.messages import BundleMessage, Outgoing, event_message
from services.backends.rabbitmq.outbox import Outbox
from services.backends.rabbitmq.topology import Topology
from services.core.errors import QueueUnavailable
from services.core.jobs import JobEvent
from services.core.ports import BundleConsumer, DeadBundle
from services.core.tasks import Bundle

__all__ = ["RabbitQueue"]

_DELIVERY_LIMIT = 3
# Messages on their way to the broker at once: many a round trip, and little to repeat when it fails.
_WINDOW = 1000


class RabbitQueue:
    """`services.core.ports.TaskQueue` on two connections: one that publishes, and one for all else.

    A broker that runs short of memory or disk blocks the first, and work that was published goes on.
    """

    def __init__(self, url: str, *, delivery_limit: int = _DELIVERY_LIMIT) -> None:
        """Connect to `amqp[s]://user:password@host:port/virtual-host?prefix=NAME` and declare the queues.

        A bundle is dead-lettered at the failure after `delivery_limit` redeliveries. Afterwards each
        connection is made again whenever it breaks; calls meanwhile raise QueueUnavailable, and receives
        find nothing.

        Raises:
            InvalidInput: the URL cannot be read (`BAD_BACKEND_URL`).
            QueueUnavailable: the broker does not answer, or refuses us.
        """
        self._location = Location.parse(url)
        self._delivery_limit = delivery_limit
        topology = Topology(self._location.prefix, delivery_limit)
        self._bundles = topology.bundles
        self._events_name = topology.events
        self._link = Link(self._location, topology, purpose="consuming")
        self._publishing = Link(
            self._location, Topology(self._location.prefix, delivery_limit), purpose="publishing"
        )
        self._outbox = Outbox(self._publishing, self._link)
        self._lock = threading.Lock()
        self._consumers: list[RabbitConsumer] = []
        self._events = EventReceiver(self._link)
        self._dead = DeadBundleReader(self._link, self._outbox)
        self._open()
        self._link.add(self._dead)
        # Addresses of one broker differ from host to host; its own name does not.
        broker = self._link.cluster_name or self._location.server
        self._name = f"amqp://{broker}/{self._location.virtual_host}/{self._location.prefix}"

    @property
    def name(self) -> str:
        """See the port."""
        return self._name

    @property
    def is_shared(self) -> bool:
        """True."""
        return True

    def publish_bundles(self, bundles: Sequence[Bundle]) -> None:
        """See the port. Each window of messages is confirmed before the next is sent."""
        for start in range(0, len(bundles), _WINDOW):
            window = bundles[start : start + _WINDOW]
            self._publish([BundleMessage(bundle).to("", self._bundles) for bundle in window])

    def publish_event(self, event: JobEvent) -> None:
        """See the port."""
        self._publish([event_message(self._events_name, event)])

    def open_bundle_consumer(self, slots: int) -> BundleConsumer:
        """See the port."""
        if slots < 1:
            raise ValueError(f"A consumer needs at least one slot, not {slots}.")
        consumer = RabbitConsumer(self._link, self._outbox, slots, self._delivery_limit)
        consumer.open()
        with self._lock:
            self._consumers.append(consumer)
        return consumer

    def receive_events(self, timeout_seconds: float) -> tuple[JobEvent, ...]:
        """See the port; () while there is no connection, too."""
        return self._events.receive(timeout_seconds)

    def receive_dead_bundles(self, timeout_seconds: float) -> tuple[DeadBundle, ...]:
        """See the port; () while there is no connection, too."""
        return self._dead.receive(timeout_seconds)

    def forget_dead_bundle(self, dead: DeadBundle) -> None:
        """See the port."""
        self._dead.forget(dead)

    def slots(self) -> int:
        """See the port. The broker's own count: every slot is a consumer."""
        return int(self._look().consumer_count)

    def waiting_bundles(self) -> int:
        """See the port."""
        return int(self._look().message_count)

    def ping(self) -> None:
        """See the port."""
        self.slots()

    def close(self) -> None:
        """See the port."""
        with self._lock:
            consumers, self._consumers = self._consumers, []
        for consumer in consumers:
            consumer.close()
        self._events.close()
        self._dead.close()
        # Both at once: a broker that is stuck keeps each waiting for a while.
        self._publishing.leave()
        self._link.close()
        self._publishing.close()

    def _open(self) -> None:
        self._link.open()
        try:
            self._publishing.open()
        except QueueUnavailable:
            self._link.close()
            raise

    def _look(self) -> Any:
        """The broker's counts of the bundle queue."""

        def ask(future: Future[Any]) -> None:
            self._link.declare_passively(self._bundles, lambda reply: resolve(future, reply.method))

        return self._link.call(ask)

    def _publish(self, messages: Sequence[Outgoing]) -> None:
        def send(future: Future[str]) -> None:
            self._publishing.publisher.send(messages, lambda failure: resolve(future, failure))

        failure = self._publishing.call(send)
        if failure:
            raise QueueUnavailable(f"The broker did not take a message: {failure}")
