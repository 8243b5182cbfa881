"""What alerts, dashboard and KEDA read of the queues is what a real RabbitMQ tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.backends.rabbitmq import RabbitQueue
from services.backends.rabbitmq.topology import Topology
from services.core.covariance import Covariance
from services.core.tasks import Bundle, TaskKey
from tests.integration.jobs.conftest import until
from tests.manifests.rabbitmq_series import SERIES
from tests.scaling.broker import ManagedRabbitMQ, QueueDepth
from tests.servers.fixtures import provided

QUEUES = Topology("kmeans", 3)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedRabbitMQ]:
    server = ManagedRabbitMQ(tmp_path_factory.mktemp("broker"))
    provided(server)
    yield server
    server.stop()


def told(broker: ManagedRabbitMQ, *families: str) -> dict[tuple[str, str], float]:
    """Values by series and queue."""
    return {
        (sample.name, sample.labels["queue"]): sample.value
        for family in text_string_to_metric_families(broker.exported(families))
        for sample in family.samples
        if "queue" in sample.labels
    }


@pytest.mark.parametrize("family", SERIES)
def test_a_family_has_these_series_of_every_queue(broker: ManagedRabbitMQ, family: str) -> None:
    with closing(RabbitQueue(broker.url)):
        until(lambda: {queue for _, queue in told(broker, family)} >= {QUEUES.bundles, QUEUES.dead})
        assert {name for name, _ in told(broker, family)} == SERIES[family]


def test_bundles_that_wait_and_that_are_worked_on_are_told_apart(broker: ManagedRabbitMQ) -> None:
    bundles = [Bundle(f"job-{n}", (TaskKey(f"job-{n}", 0, 1, Covariance.DIAG_TIED),)) for n in range(3)]
    with closing(RabbitQueue(broker.url)) as queue, closing(queue.open_bundle_consumer(1)) as consumer:
        queue.publish_bundles(bundles)
        assert consumer.receive(60.0) is not None
        expected = {
            ("rabbitmq_detailed_queue_messages_ready", QUEUES.bundles): 2,
            ("rabbitmq_detailed_queue_messages_unacked", QUEUES.bundles): 1,
            ("rabbitmq_detailed_queue_messages", QUEUES.bundles): 3,
            ("rabbitmq_detailed_queue_messages", QUEUES.dead): 0,
            ("rabbitmq_detailed_queue_consumers", QUEUES.bundles): 1,
        }
        # The broker counts a quorum queue every five seconds.
        until(lambda: expected.items() <= told(broker, *SERIES).items())
        until(lambda: broker.depth() == QueueDepth(ready=2, unacknowledged=1))
