"""A queue on a real broker that takes its exchange and queues with it when it is closed."""

from __future__ import annotations

import pika
from pika.exceptions import AMQPError

from services.backends.rabbitmq import RabbitQueue
from services.backends.rabbitmq.topology import Topology

__all__ = ["DisposableQueue"]


class DisposableQueue(RabbitQueue):
    """Under a prefix of its own on the broker at this URL."""

    def __init__(self, url: str, prefix: str) -> None:
        super().__init__(f"{url}?prefix={prefix}")
        self._url = url
        self._prefix = prefix
        self._is_there = True

    def close(self) -> None:
        super().close()
        if self._is_there:
            self._is_there = False
            self._delete()

    def _delete(self) -> None:
        topology = Topology(self._prefix, 0)
        try:
            connection = pika.BlockingConnection(pika.URLParameters(self._url))
            channel = connection.channel()
            for queue in (topology.bundles, topology.events, topology.dead, topology.damaged):
                channel.queue_delete(queue)
            channel.exchange_delete(topology.dead)
            connection.close()
        except AMQPError:
            pass  # the test ended with its broker down; the broker's folder goes with it
