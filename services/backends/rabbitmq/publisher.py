"""The publisher: mandatory messages, confirmed in windows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import pika  # type: ignore[import-untyped]

from services.backends.rabbitmq.messages import Outgoing

__all__ = ["Done", "Publisher"]

# Called once, on the IO thread: with "" when every message was confirmed, else with what went wrong.
Done = Callable[[str], None]


class _Batch:
    """Messages that are answered for together."""

    def __init__(self, size: int, done: Done) -> None:
        self._unconfirmed = size
        self._done = done
        self._failure = ""

    def fail(self, failure: str) -> None:
        self._failure = self._failure or failure

    def count_down(self) -> None:
        self._unconfirmed -= 1
        if not self._unconfirmed:
            self._done(self._failure)

    def give_up(self, failure: str) -> None:
        if self._unconfirmed:
            self._unconfirmed = 0
            self._done(failure)


class Publisher:
    """Publishes on one channel in confirm mode. Everything here happens on the IO thread."""

    def __init__(self, on_unroutable: Callable[[str], None]) -> None:
        """`on_unroutable` hears of a routing key without a queue, once the messages are answered for."""
        self._on_unroutable = on_unroutable
        self._unroutable = ""
        self._blocked = ""
        self._channel: Any = None
        self._last_tag = 0
        self._unconfirmed: OrderedDict[int, _Batch] = OrderedDict()
        self._batches: dict[str, _Batch] = {}
        self._message_ids: dict[int, str] = {}

    def attach(self, channel: Any, done: Callable[[object], None]) -> None:
        """Use this channel from now on; `done` is called when it confirms."""
        self._channel = channel
        self._last_tag = 0
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=done)

    def detach(self, why: str) -> None:
        """The channel is gone, and with it the answers to what was published."""
        self._channel = None
        self._unroutable = ""
        self._blocked = ""
        self._give_up(why)

    def block(self, why: str) -> None:
        """The broker takes nothing for now: whoever waits hears so, and so does whoever comes.

        What was sent may still arrive later.
        """
        self._blocked = why
        self._give_up(why)

    def unblock(self) -> None:
        """The broker takes messages again."""
        self._blocked = ""

    def _give_up(self, why: str) -> None:
        batches = dict.fromkeys(self._unconfirmed.values())
        self._unconfirmed.clear()
        self._batches.clear()
        self._message_ids.clear()
        for batch in batches:
            batch.give_up(why)

    def send(self, messages: Sequence[Outgoing], done: Done) -> None:
        """Publish all; `done` hears of it when the last was confirmed, refused or lost."""
        if not messages:
            done("")
            return
        if self._channel is None or not self._channel.is_open:
            done("there is no connection.")
            return
        if self._blocked:
            done(self._blocked)
            return
        batch = _Batch(len(messages), done)
        for message in messages:
            self._last_tag += 1
            self._unconfirmed[self._last_tag] = batch
            self._batches[message.properties.message_id] = batch
            self._message_ids[self._last_tag] = message.properties.message_id
            self._channel.basic_publish(
                message.exchange, message.routing_key, message.body, message.properties, mandatory=True
            )

    def _on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        # Its confirm follows: the broker has dealt with it, by sending it back.
        self._unroutable = str(method.routing_key)
        batch = self._batches.get(properties.message_id)
        if batch is not None:
            batch.fail(f"the broker knows no queue for {method.routing_key!r}.")

    def _on_confirm(self, frame: Any) -> None:
        answer = frame.method
        tags = [answer.delivery_tag]
        if answer.multiple:
            tags = self._tags_up_to(answer.delivery_tag)
        is_nack = isinstance(answer, pika.spec.Basic.Nack)
        for tag in tags:
            batch = self._unconfirmed.pop(tag, None)
            if batch is None:
                continue
            del self._batches[self._message_ids.pop(tag)]
            if is_nack:
                batch.fail("the broker refused a message; the queue may be full.")
            batch.count_down()
        if self._unroutable and not self._unconfirmed:
            routing_key, self._unroutable = self._unroutable, ""
            self._on_unroutable(routing_key)

    def _tags_up_to(self, last: int) -> list[int]:
        tags = []
        for tag in self._unconfirmed:
            if tag > last:
                break
            tags.append(tag)
        return tags
