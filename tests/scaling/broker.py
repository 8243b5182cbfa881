"""RabbitMQ with its management and its exporter: where KEDA and Prometheus read how much there is to do."""

from __future__ import annotations

import json
import urllib.request
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from services.backends.rabbitmq.topology import Topology
from tests.manifests.rabbitmq_series import PATH
from tests.servers.ports import HOST
from tests.servers.rabbitmq import RabbitMQ

__all__ = ["ManagedRabbitMQ", "QueueDepth"]

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Bundles that wait, and bundles that are being worked on."""

    ready: int
    unacknowledged: int

    @property
    def messages(self) -> int:
        """What KEDA takes for the length of the queue over HTTP."""
        return self.ready + self.unacknowledged


class ManagedRabbitMQ(RabbitMQ):
    """A private node whose management and exporter answer on ports of their own."""

    port_names = (*RabbitMQ.port_names, "management", "exporter")

    def depth(self) -> QueueDepth:
        """Of the bundle queue, by the request that KEDA's rabbitmq scaler makes with `protocol: http`.

        The broker counts a quorum queue every five seconds, so this is up to that much late.
        """
        name = Topology("kmeans", 0).bundles
        request = urllib.request.Request(
            f"http://{HOST}:{self.port('management')}/api/queues/{quote('/', safe='')}/{name}",
            headers={"Authorization": "Basic " + b64encode(b"guest:guest").decode()},
        )
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            queue = json.load(answer)
        return QueueDepth(queue.get("messages_ready", 0), queue.get("messages_unacknowledged", 0))

    def exported(self, families: Iterable[str]) -> str:
        """What Prometheus is told of single queues, by the request that it makes."""
        query = urlencode([("family", family) for family in families])
        with urllib.request.urlopen(
            f"http://{HOST}:{self.port('exporter')}{PATH}?{query}", timeout=_SECONDS
        ) as answer:
            return str(answer.read().decode())

    def _write_files(self) -> None:
        super()._write_files()
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management, rabbitmq_prometheus].\n")
        listeners = (("management", "management"), ("prometheus", "exporter"))
        with (self.folder / "rabbitmq.conf").open("a") as settings:
            for plugin, name in listeners:
                settings.write(f"{plugin}.tcp.ip = {HOST}\n{plugin}.tcp.port = {self.port(name)}\n")
