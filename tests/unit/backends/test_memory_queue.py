"""What the in-process queue promises beyond the port."""

from __future__ import annotations

import pytest

from services.backends.memory_queue import MemoryQueue
from services.core.errors import QueueUnavailable
from services.core.ports import BundleConsumer, BundleDelivery
from tests.contract.samples import LONG
from tests.contract.test_queue import BUNDLES


def receive(consumer: BundleConsumer) -> BundleDelivery:
    delivery = consumer.receive(LONG)
    assert delivery is not None
    return delivery


@pytest.mark.parametrize("limit", [0, 1, 5])
def test_the_delivery_limit_counts_redeliveries(limit: int) -> None:
    queue = MemoryQueue(delivery_limit=limit)
    queue.publish_bundles(BUNDLES[:1])
    consumer = queue.open_bundle_consumer(1)
    for _ in range(limit):
        receive(consumer).reject("why")
        assert queue.receive_dead_bundles(0.0) == ()
    receive(consumer).reject("at last")
    assert [dead.reason for dead in queue.receive_dead_bundles(0.0)] == ["at last"]
    queue.close()


def test_a_rejected_bundle_waits_behind_the_others() -> None:
    queue = MemoryQueue()
    queue.publish_bundles(BUNDLES[:2])
    consumer = queue.open_bundle_consumer(1)
    receive(consumer).reject("why")
    assert receive(consumer).bundle == BUNDLES[1]
    queue.close()


def test_it_is_of_this_process_alone() -> None:
    one, two = MemoryQueue(), MemoryQueue()
    assert one.name.startswith("memory://")
    assert one.name != two.name
    assert not one.is_shared
    one.close()
    with pytest.raises(QueueUnavailable, match="closed"):
        one.ping()
    two.ping()
    two.close()


def test_a_consumer_has_a_slot() -> None:
    queue = MemoryQueue()
    with pytest.raises(ValueError, match="at least one slot"):
        queue.open_bundle_consumer(0)
    queue.close()
