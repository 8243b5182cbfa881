"""What happens to messages on a real broker beyond what every queue promises."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from services.backends.rabbitmq import RabbitQueue
from services.core.covariance import Covariance
from services.core.errors import InvalidInput, QueueUnavailable
from services.core.jobs import JobEvent
from services.core.ports import BundleConsumer, BundleDelivery, DeadBundle
from services.core.tasks import Bundle, TaskKey
from tests.contract.disposable import DisposableQueue
from tests.contract.samples import LONG
from tests.contract.test_queue import BUNDLES, DELIVERY_LIMIT, make_bundle
from tests.integration.jobs.conftest import until


@pytest.fixture
def prefix() -> str:
    return f"t-{secrets.token_hex(8)}"


@pytest.fixture
def queue(rabbitmq_url: str, prefix: str) -> Iterator[RabbitQueue]:
    opened = DisposableQueue(rabbitmq_url, prefix)
    yield opened
    opened.close()


@pytest.fixture
def open_another(rabbitmq_url: str, prefix: str) -> Iterator[Callable[..., RabbitQueue]]:
    opened: list[RabbitQueue] = []

    def open_queue(**options: int) -> RabbitQueue:
        opened.append(RabbitQueue(f"{rabbitmq_url}?prefix={prefix}", **options))
        return opened[-1]

    yield open_queue
    for each in opened:
        each.close()


@pytest.fixture
def channel(rabbitmq_url: str) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


@pytest.fixture
def die_with_a_bundle(rabbitmq_url: str, prefix: str) -> Callable[[], bool]:
    """Takes a bundle and goes, as a worker that is killed; returns whether it was delivered before."""

    def die() -> bool:
        connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
        deliveries = connection.channel().consume(f"{prefix}.bundles.v1", inactivity_timeout=LONG)
        method, _, _ = next(deliveries)
        assert method is not None
        connection.close()
        return bool(method.redelivered)

    return die


def receive(consumer: BundleConsumer) -> BundleDelivery:
    delivery = consumer.receive(LONG)
    assert delivery is not None
    return delivery


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"version": 2, "job": "a", "tasks": ["0-1-full-tied"]}',
        b'{"version": 1, "job": "a", "tasks": []}',
        b'{"version": 1, "job": "a", "tasks": ["x"]}',
        b'{"version": 1, "job": "a", "tasks": [7]}',
        b'{"version": 1, "job": 5, "tasks": ["0-1-full-tied"]}',
    ],
)
def test_a_damaged_message_is_put_aside_with_a_reason(
    queue: RabbitQueue, channel: BlockingChannel, prefix: str, body: bytes
) -> None:
    channel.basic_publish("", f"{prefix}.bundles.v1", body)
    queue.publish_bundles(BUNDLES[:1])
    receive(queue.open_bundle_consumer(1)).ack()
    got = channel.basic_get(f"{prefix}.damaged.v1", auto_ack=True)
    assert got[2] == body
    assert got[1].headers["kmeans-reason"].endswith(".")
    assert queue.receive_dead_bundles(0.0) == ()


@pytest.mark.parametrize(
    "headers",
    [
        {"kmeans-published": "yesterday", "traceparent": 7},
        {"kmeans-published": 1 << 62, "traceparent": None},
        {"kmeans-of-tomorrow": {"a": [1]}, "kmeans-published": -1, "traceparent": "00-no"},
    ],
)
def test_headers_that_only_tell_are_no_reason_to_refuse_a_bundle(
    queue: RabbitQueue, channel: BlockingChannel, prefix: str, headers: dict[str, Any]
) -> None:
    body = b'{"version": 1, "job": "a", "tasks": ["0-1-full-tied"], "of_tomorrow": [1]}'
    channel.basic_publish("", f"{prefix}.bundles.v1", body, pika.BasicProperties(headers=headers))
    delivery = receive(queue.open_bundle_consumer(1))
    assert delivery.bundle == Bundle("a", (TaskKey("a", 0, 1, Covariance.FULL_TIED),))
    delivery.ack()


def test_a_bundle_says_that_it_runs_alone_however_often_it_comes(queue: RabbitQueue) -> None:
    queue.publish_bundles([replace(BUNDLES[0], alone=True), BUNDLES[1]])
    consumer = queue.open_bundle_consumer(1)
    receive(consumer).reject("no memory.")
    ordinary = receive(consumer)
    ordinary.ack()
    suspect = receive(consumer)
    assert (ordinary.bundle.alone, suspect.bundle.alone) == (False, True)
    suspect.ack()


def test_a_bundle_of_an_older_scheduler_is_one_among_others(
    queue: RabbitQueue, channel: BlockingChannel, prefix: str
) -> None:
    body = b'{"version": 1, "job": "a", "tasks": ["0-1-full-tied"]}'
    channel.basic_publish("", f"{prefix}.bundles.v1", body)
    delivery = receive(queue.open_bundle_consumer(1))
    assert delivery.bundle == Bundle("a", (TaskKey("a", 0, 1, Covariance.FULL_TIED),))
    assert not delivery.bundle.alone
    delivery.ack()


def test_a_damaged_dead_message_does_not_hide_the_others(
    queue: RabbitQueue, channel: BlockingChannel, prefix: str
) -> None:
    channel.basic_publish(f"{prefix}.dead.v1", "bundle", b"nonsense")
    queue.publish_bundles(BUNDLES[:1])
    consumer = queue.open_bundle_consumer(1)
    for _ in range(DELIVERY_LIMIT + 1):
        receive(consumer).reject("no memory.")
    (dead,) = queue.receive_dead_bundles(LONG)
    assert dead.bundle == BUNDLES[0]


def test_a_damaged_event_is_dropped(queue: RabbitQueue, channel: BlockingChannel, prefix: str) -> None:
    channel.basic_publish("", f"{prefix}.events.v1", b"nonsense")
    queue.publish_event(JobEvent("a"))
    assert queue.receive_events(LONG) == (JobEvent("a"),)


def test_a_bundle_whose_workers_die_is_given_up_with_that_reason(
    queue: RabbitQueue, die_with_a_bundle: Callable[[], bool]
) -> None:
    queue.publish_bundles(BUNDLES[:1])
    for turn in range(DELIVERY_LIMIT + 1):
        assert die_with_a_bundle() == (turn > 0)
    (dead,) = queue.receive_dead_bundles(LONG)
    assert dead.bundle == BUNDLES[0]
    assert "died" in dead.reason
    assert not dead.was_rejected


def test_a_dead_bundle_is_gone_once_it_is_forgotten_and_comes_again_if_not(
    queue: RabbitQueue, open_another: Callable[..., RabbitQueue]
) -> None:
    queue.publish_bundles(BUNDLES[:2])
    consumer = queue.open_bundle_consumer(1)
    for _ in range(2 * (DELIVERY_LIMIT + 1)):
        receive(consumer).reject("no memory.")
    sweeping = open_another()
    handed_out: list[DeadBundle] = []
    while len(handed_out) < 2:
        handed_out += sweeping.receive_dead_bundles(LONG)
    (told,) = (dead for dead in handed_out if dead.bundle == BUNDLES[0])
    sweeping.forget_dead_bundle(told)
    sweeping.close()
    assert [dead.bundle for dead in queue.receive_dead_bundles(LONG)] == BUNDLES[1:2]
    assert queue.receive_dead_bundles(0.0) == ()


def test_rejections_and_deaths_count_together(
    queue: RabbitQueue, die_with_a_bundle: Callable[[], bool]
) -> None:
    queue.publish_bundles(BUNDLES[:1])
    for _ in range(2):
        receive(consumer := queue.open_bundle_consumer(1)).reject("no memory.")
        consumer.close()
    for _ in range(2):
        die_with_a_bundle()
    assert queue.open_bundle_consumer(1).receive(0.2) is None
    (dead,) = queue.receive_dead_bundles(LONG)
    assert dead.bundle == BUNDLES[0]
    assert "no memory." in dead.reason
    assert dead.was_rejected


@pytest.mark.parametrize("headers", [{}, {"kmeans-failures": 1, "kmeans-reason": "no memory."}])
def test_a_bundle_that_expired_has_not_failed(
    queue: RabbitQueue, channel: BlockingChannel, prefix: str, headers: dict[str, Any]
) -> None:
    body = b'{"version": 1, "job": "a", "tasks": ["0-1-full-tied"]}'
    expiring = pika.BasicProperties(headers=headers, expiration="1")
    channel.basic_publish("", f"{prefix}.bundles.v1", body, expiring)
    (dead,) = queue.receive_dead_bundles(LONG)
    assert "expired" in dead.reason
    assert not dead.was_rejected


def test_a_bundle_handed_back_counts_nothing_and_reaches_other_workers(
    queue: RabbitQueue, open_another: Callable[..., RabbitQueue]
) -> None:
    queue.publish_bundles(BUNDLES[:1])
    for turn in range(2 * DELIVERY_LIMIT):
        stopping = open_another()
        consumer = stopping.open_bundle_consumer(1)
        delivery = receive(consumer)
        assert delivery.redelivered == (turn > 0)
        delivery.requeue()
        consumer.close()
    delivery = receive(queue.open_bundle_consumer(1))
    assert delivery.bundle == BUNDLES[0]
    assert queue.receive_dead_bundles(0.0) == ()


def test_a_worker_that_does_not_take_up_what_it_handed_back_gives_it_to_another(
    queue: RabbitQueue, open_another: Callable[..., RabbitQueue]
) -> None:
    queue.publish_bundles(BUNDLES[:1])
    receive(queue.open_bundle_consumer(1)).requeue()
    assert receive(open_another().open_bundle_consumer(1)).bundle == BUNDLES[0]


def test_a_deleted_queue_is_declared_again(queue: RabbitQueue, channel: BlockingChannel, prefix: str) -> None:
    channel.queue_delete(f"{prefix}.bundles.v1")
    with pytest.raises(QueueUnavailable, match="knows no queue"):
        queue.publish_bundles(BUNDLES)

    def is_back() -> bool:
        try:
            queue.publish_bundles(BUNDLES[:1])
        except QueueUnavailable:
            return False
        return True

    until(is_back)
    assert receive(queue.open_bundle_consumer(1)).bundle == BUNDLES[0]


def test_a_consumer_outlives_its_queue(queue: RabbitQueue, channel: BlockingChannel, prefix: str) -> None:
    consumer = queue.open_bundle_consumer(2)
    channel.queue_delete(f"{prefix}.bundles.v1")

    def is_back() -> bool:
        try:
            return queue.slots() == 2
        except QueueUnavailable:
            return False

    until(is_back)
    queue.publish_bundles(BUNDLES[:1])
    assert receive(consumer).bundle == BUNDLES[0]


def test_another_delivery_limit_takes_the_queue_as_it_is(
    queue: RabbitQueue, open_another: Callable[..., RabbitQueue]
) -> None:
    other = open_another(delivery_limit=1)
    other.publish_bundles(BUNDLES[:1])
    consumer = other.open_bundle_consumer(1)
    for _ in range(2):
        receive(consumer).reject("no memory.")
    assert [dead.bundle for dead in queue.receive_dead_bundles(LONG)] == BUNDLES[:1]


def test_more_bundles_than_a_window_are_confirmed(queue: RabbitQueue) -> None:
    bundles = [make_bundle(number) for number in range(2_500)]
    queue.publish_bundles(bundles)
    consumer = queue.open_bundle_consumer(1)
    for bundle in bundles[:3]:
        delivery = receive(consumer)
        assert delivery.bundle == bundle
        delivery.ack()


def test_no_password_is_ever_shown(rabbitmq_url: str) -> None:
    url = rabbitmq_url.replace("guest:guest@", "guest:hunter2@")
    assert "hunter2" in url
    with pytest.raises(QueueUnavailable, match="refused") as refused:
        RabbitQueue(url)
    with pytest.raises(InvalidInput) as unread:
        RabbitQueue(url.replace("amqp://", "amqp://:hunter2@x:y/"))
    with pytest.raises(InvalidInput, match="heartbeat") as deaf:
        RabbitQueue(f"{url}?heartbeat=0")
    for caught in (refused, unread, deaf):
        assert "hunter2" not in str(caught.value) + repr(caught.value)


def test_the_name_shows_no_credentials(queue: RabbitQueue, prefix: str) -> None:
    assert queue.name.endswith(prefix)
    assert "guest" not in queue.name
