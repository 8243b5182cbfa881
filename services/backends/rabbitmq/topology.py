"""Topology: the exchange and the queues, and how they are declared.

| name                | kind            | holds                                                  |
| ------------------- | --------------- | ------------------------------------------------------ |
| `PREFIX.bundles.v1` | quorum queue    | bundles for workers                                    |
| `PREFIX.events.v1`  | classic queue   | job events for schedulers, bounded and short-lived     |
| `PREFIX.dead.v1`    | direct exchange | where bundles go that were given up                    |
| `PREFIX.dead.v1`    | quorum queue    | those bundles, until the sweep has told the store      |
| `PREFIX.damaged.v1` | quorum queue    | messages that nobody can read, for people; bounded     |

Arguments of a queue never change, so the names carry a version: other arguments get another one. What an
operator may want to tune (lengths, a lower delivery limit, how long damaged messages are kept) is left to
policies, which a broker combines with these arguments by taking the stricter of both. Bundles need no time to
live: they wait as long as it takes, and one that expired would only be published again.

A broker that crashes within seconds of the very first declaration may forget which log belongs to a quorum
queue: RabbitMQ writes that down late (seen with 3.10). It then begins a new, empty log for which it elects
no leader, and nothing a client may do changes that; the link goes on trying, and logs `election_command`
for an operator. After it the sweep publishes again what the old log held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog

__all__ = ["Topology", "election_command"]

_VERSION = "v1"
_BUNDLE_KEY = "bundle"
_DAMAGED_KEY = "damaged"

_MAX_EVENTS = 10_000
_EVENT_MILLISECONDS = 60_000
_MAX_DAMAGED = 1_000
# RabbitMQ 4 limits every quorum queue to 20 deliveries unless told otherwise, and then drops the message.
_NO_DELIVERY_LIMIT = 1_000_000

_log = structlog.get_logger("rabbitmq")

_Step = Callable[[Any, Callable[[object], None]], None]


@dataclass(frozen=True, slots=True)
class _Queue:
    name: str
    arguments: dict[str, object]
    routing_key: str | None = None


class Topology:
    """Names under one prefix; declaring them is idempotent. Belongs to the IO thread."""

    def __init__(self, prefix: str, delivery_limit: int) -> None:
        """Bundles are dead-lettered by the broker after `delivery_limit` redeliveries."""
        self.bundles = f"{prefix}.bundles.{_VERSION}"
        self.events = f"{prefix}.events.{_VERSION}"
        self.dead = f"{prefix}.dead.{_VERSION}"
        self.damaged = f"{prefix}.damaged.{_VERSION}"
        self.bundle_key = _BUNDLE_KEY
        self.damaged_key = _DAMAGED_KEY
        self._delivery_limit = delivery_limit
        self._declaring: str | None = None
        self._taken_as_they_are: set[str] = set()

    def declare(self, channel: Any, done: Callable[[], None]) -> None:
        """Declare everything, then call `done`. When the broker refuses, it closes the channel."""
        steps = self._steps()

        def next_step(_reply: object = None) -> None:
            self._declaring = None
            step = next(steps, None)
            if step is None:
                done()
            else:
                step(channel, next_step)

        next_step()

    @property
    def declaring(self) -> str:
        """The queue whose declaration is not answered yet, or ""."""
        return self._declaring or ""

    def accept_refusal(self, reply_code: int) -> bool:
        """After a refused declaration: take the queue as it is from now on, or return False.

        That is right where a queue exists with other arguments (406), as after a change of
        KMEANS_DELIVERY_LIMIT: consumers count deliveries themselves, and the stricter limit wins.
        """
        name = self._declaring
        if reply_code != 406 or name is None or name in self._taken_as_they_are:
            return False
        self._taken_as_they_are.add(name)
        _log.warning("queue exists with other arguments and is used as it is", queue=name)
        return True

    def _steps(self) -> Iterator[_Step]:
        yield lambda channel, then: channel.exchange_declare(self.dead, "direct", durable=True, callback=then)
        for queue in self._queues():
            yield self._declare(queue)
            if queue.routing_key is not None:
                yield self._bind(queue)

    def _declare(self, queue: _Queue) -> _Step:
        def step(channel: Any, then: Callable[[object], None]) -> None:
            self._declaring = queue.name
            if queue.name in self._taken_as_they_are:
                channel.queue_declare(queue.name, passive=True, callback=then)
            else:
                channel.queue_declare(queue.name, durable=True, arguments=queue.arguments, callback=then)

        return step

    def _bind(self, queue: _Queue) -> _Step:
        return lambda channel, then: channel.queue_bind(
            queue.name, self.dead, routing_key=queue.routing_key, callback=then
        )

    def _queues(self) -> tuple[_Queue, ...]:
        quorum = {"x-queue-type": "quorum"}
        return (
            _Queue(self.dead, quorum | {"x-delivery-limit": _NO_DELIVERY_LIMIT}, _BUNDLE_KEY),
            _Queue(
                self.damaged,
                quorum
                | {
                    "x-delivery-limit": _NO_DELIVERY_LIMIT,
                    "x-max-length": _MAX_DAMAGED,
                    "x-overflow": "drop-head",
                },
                _DAMAGED_KEY,
            ),
            _Queue(
                self.bundles,
                quorum
                | {
                    "x-delivery-limit": self._delivery_limit,
                    "x-dead-letter-exchange": self.dead,
                    "x-dead-letter-routing-key": _BUNDLE_KEY,
                    # Both are needed for a dead bundle to leave this queue only once the other has it.
                    "x-dead-letter-strategy": "at-least-once",
                    "x-overflow": "reject-publish",
                },
            ),
            _Queue(
                self.events,
                {
                    "x-queue-type": "classic",
                    "x-max-length": _MAX_EVENTS,
                    "x-overflow": "drop-head",
                    "x-message-ttl": _EVENT_MILLISECONDS,
                },
            ),
        )


def election_command(virtual_host: str, queue: str) -> str:
    """What an operator runs on the broker's machine to give a quorum queue a leader again."""
    internal = f"{virtual_host}_{queue}".replace("/", "%2F")
    return f"rabbitmqctl eval \"ra:trigger_election({{'{internal}', node()}}).\""
