"""The outbox: what those send who consume, on another connection than the one they consume on.

A broker that runs short of memory or disk stops reading from connections that publish, and with it everything
else that comes from them. Acknowledgements would be stuck there, and the work they stand for.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from services.backends.rabbitmq.link import Link, resolve
from services.backends.rabbitmq.messages import Outgoing
from services.backends.rabbitmq.publisher import Done
from services.core.errors import QueueUnavailable

__all__ = ["Outbox"]


class Outbox:
    """Publishes on one link and answers on the IO thread of another."""

    def __init__(self, publishing: Link, answering: Link) -> None:
        """Nothing is sent yet."""
        self._publishing = publishing
        self._answering = answering

    def send(self, messages: Sequence[Outgoing], done: Done) -> None:
        """Publish all; `done` hears of it as from `Publisher.send`.

        Or nothing, when the answering link breaks before: what it would settle is gone then.
        """

        def publish(future: Future[str]) -> None:
            self._publishing.publisher.send(messages, lambda failure: resolve(future, failure))

        def answer(future: Future[str]) -> None:
            try:
                failure = future.result()
            except QueueUnavailable as error:
                failure = str(error)
            self._answering.post(lambda: done(failure))

        self._publishing.begin(publish).add_done_callback(answer)
