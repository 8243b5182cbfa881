"""`services.core.ports.TaskQueue`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest

from services.core.covariance import Covariance
from services.core.errors import QueueUnavailable
from services.core.jobs import JobEvent
from services.core.ports import BundleConsumer, BundleDelivery, DeadBundle, TaskQueue
from services.core.tasks import Bundle, Part, TaskKey
from tests.contract.samples import LONG, NOW
from tests.integration.jobs.conftest import until

SOON = 0.01  # seconds to look for what should not come
DELIVERY_LIMIT = 3


def make_bundle(number: int, n_tasks: int = 2) -> Bundle:
    job_id = f"job{number}"
    return Bundle(job_id, tuple(TaskKey(job_id, 0, k, Covariance.DIAG_TIED) for k in range(1, n_tasks + 1)))


BUNDLES = [make_bundle(number) for number in range(6)]


def receive(consumer: BundleConsumer) -> BundleDelivery:
    delivery = consumer.receive(LONG)
    assert delivery is not None
    return delivery


# Bundles


def test_bundles_come_in_order_and_whole(queue: TaskQueue) -> None:
    queue.publish_bundles(BUNDLES[:2])
    queue.publish_bundles(BUNDLES[2:])
    queue.publish_bundles([])
    consumer = queue.open_bundle_consumer(1)
    for bundle in BUNDLES:
        delivery = receive(consumer)
        assert delivery.bundle == bundle
        assert not delivery.redelivered
        delivery.ack()
    assert consumer.receive(SOON) is None


def test_a_bundle_keeps_its_time_and_its_trace_however_often_it_comes(queue: TaskQueue) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    queue.publish_bundles([replace(BUNDLES[0], published_at=NOW, traceparent=trace), BUNDLES[1]])
    consumer = queue.open_bundle_consumer(1)
    first = receive(consumer)
    first.reject("no luck")
    plain = receive(consumer)
    assert (plain.bundle.published_at, plain.bundle.traceparent) == (None, "")
    plain.ack()
    again = receive(consumer)
    for bundle in (first.bundle, again.bundle):
        assert (bundle, bundle.published_at, bundle.traceparent) == (BUNDLES[0], NOW, trace)
    again.ack()


def test_a_waiting_consumer_gets_what_is_published(queue: TaskQueue) -> None:
    consumer = queue.open_bundle_consumer(1)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(consumer.receive, LONG)
        queue.publish_bundles(BUNDLES[:1])
        delivery = waiting.result(60)
    assert delivery is not None
    assert delivery.bundle == BUNDLES[0]


def test_bundles_carry_parts(queue: TaskQueue) -> None:
    task = TaskKey("job", 3, 2, Covariance.FULL_UNTIED)
    bundle = Bundle("job", (task, replace(task, part=Part(0, 32)), replace(task, part=Part(2016, 32))))
    queue.publish_bundles([bundle])
    delivery = receive(queue.open_bundle_consumer(1))
    assert delivery.bundle == bundle
    delivery.ack()


def test_a_slot_holds_one_unacknowledged_bundle(queue: TaskQueue) -> None:
    queue.publish_bundles(BUNDLES)
    consumer = queue.open_bundle_consumer(2)
    first, second = receive(consumer), receive(consumer)
    assert consumer.receive(SOON) is None
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(consumer.receive, LONG)
        second.ack()
        third = waiting.result(60)
    assert third is not None
    assert [d.bundle for d in (first, second, third)] == BUNDLES[:3]


def test_consumers_share_the_bundles(queue: TaskQueue) -> None:
    consumers = [queue.open_bundle_consumer(2) for _ in range(4)]
    bundles = [make_bundle(number) for number in range(200)]
    published = Event()

    def work(number: int) -> list[Bundle]:
        taken: list[Bundle] = []
        while True:
            is_last_look = published.is_set()
            delivery = consumers[number % 4].receive(0.5)
            if delivery is not None:
                taken.append(delivery.bundle)
                delivery.ack()
            elif is_last_look:
                return taken

    with ThreadPoolExecutor(8) as threads:
        workers = [threads.submit(work, number) for number in range(8)]
        for start in range(0, 200, 20):
            queue.publish_bundles(bundles[start : start + 20])
        published.set()
        taken = [bundle for worker in workers for bundle in worker.result(60)]
    assert sorted(taken, key=lambda bundle: bundle.job_id) == sorted(
        bundles, key=lambda bundle: bundle.job_id
    )


def test_ten_workers_get_a_fair_share_each(queue: TaskQueue) -> None:
    consumers = [queue.open_bundle_consumer(1) for _ in range(10)]
    queue.publish_bundles([make_bundle(number) for number in range(200)])
    shares = [0] * len(consumers)
    while sum(shares) < 200:
        # All are at work at once, and each takes its next when it has settled the last.
        held = {number: consumer.receive(SOON) for number, consumer in enumerate(consumers)}
        for number, delivery in held.items():
            if delivery is not None:
                shares[number] += 1
                delivery.ack()
    assert min(shares) >= 10


def test_requeue_gives_it_back_to_be_next_and_counts_nothing(queue: TaskQueue) -> None:
    queue.publish_bundles(BUNDLES[:2])
    consumer = queue.open_bundle_consumer(1)
    for turn in range(2 * DELIVERY_LIMIT):
        delivery = receive(consumer)
        assert delivery.bundle == BUNDLES[0]
        assert delivery.redelivered == (turn > 0)
        delivery.requeue()
    receive(consumer).ack()
    assert receive(consumer).bundle == BUNDLES[1]
    assert queue.receive_dead_bundles(SOON) == ()


def test_a_rejected_bundle_comes_again_until_the_limit(queue: TaskQueue) -> None:
    queue.publish_bundles(BUNDLES[:1])
    consumer = queue.open_bundle_consumer(1)
    for turn in range(DELIVERY_LIMIT + 1):
        delivery = receive(consumer)
        assert delivery.bundle == BUNDLES[0]
        assert delivery.redelivered == (turn > 0)
        delivery.reject(f"reason {turn}")
    assert consumer.receive(SOON) is None
    dead = queue.receive_dead_bundles(LONG)
    assert dead == (DeadBundle(BUNDLES[0], f"reason {DELIVERY_LIMIT}"),)
    for each in dead:
        queue.forget_dead_bundle(each)
    assert queue.receive_dead_bundles(SOON) == ()


def test_a_waiting_caller_gets_a_dead_bundle(queue: TaskQueue) -> None:
    queue.publish_bundles(BUNDLES[:1])
    consumer = queue.open_bundle_consumer(1)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(queue.receive_dead_bundles, LONG)
        for _ in range(DELIVERY_LIMIT + 1):
            receive(consumer).reject("why")
        assert waiting.result(60) == (DeadBundle(BUNDLES[0], "why"),)


def test_a_closed_consumer_gives_back_what_it_held(queue: TaskQueue) -> None:
    queue.publish_bundles(BUNDLES[:3])
    consumer = queue.open_bundle_consumer(2)
    held = [receive(consumer), receive(consumer)]
    consumer.close()
    consumer.close()
    assert consumer.receive(LONG) is None
    other = queue.open_bundle_consumer(3)
    again = {delivery.bundle.job_id: delivery for delivery in (receive(other) for _ in range(3))}
    assert {job_id: delivery.redelivered for job_id, delivery in again.items()} == {
        "job0": True,
        "job1": True,
        "job2": False,
    }
    # Too late, and no error: the bundle is somebody else's.
    held[0].ack()
    held[1].reject("late")
    again["job0"].requeue()
    assert receive(other).bundle == BUNDLES[0]


def test_a_cancelled_consumer_takes_nothing_more_and_settles_what_it_has(queue: TaskQueue) -> None:
    queue.publish_bundles(BUNDLES[:4])
    consumer = queue.open_bundle_consumer(4)
    done, failed, handed_back = (receive(consumer) for _ in range(3))
    consumer.cancel()
    consumer.cancel()
    assert consumer.receive(LONG) is None
    # The fourth, which it had not received, and what it hands back are for the others, at once.
    other = queue.open_bundle_consumer(2)
    handed_back.requeue()
    others = [receive(other), receive(other)]
    assert {delivery.bundle for delivery in others} == {BUNDLES[2], BUNDLES[3]}
    done.ack()
    failed.reject("why")
    others[0].ack()
    assert receive(other).bundle == BUNDLES[1]
    consumer.close()
    until(lambda: queue.slots() == 2)
    others[1].ack()
    # What it acknowledged did not come back with its end.
    assert other.receive(SOON) is None


def test_closing_consumers_never_count_against_the_bundle_they_hold(queue: TaskQueue) -> None:
    queue.publish_bundles(BUNDLES[:1])
    for _ in range(2 * DELIVERY_LIMIT):
        consumer = queue.open_bundle_consumer(1)
        assert receive(consumer).bundle == BUNDLES[0]
        consumer.close()
    # Nor do they make more of it.
    delivery = receive(queue.open_bundle_consumer(2))
    assert delivery.bundle == BUNDLES[0]
    assert queue.open_bundle_consumer(1).receive(SOON) is None
    assert queue.receive_dead_bundles(SOON) == ()
    delivery.reject("why")
    assert queue.receive_dead_bundles(SOON) == ()


def test_closing_a_consumer_wakes_it(queue: TaskQueue) -> None:
    consumer = queue.open_bundle_consumer(1)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(consumer.receive, LONG)
        consumer.close()
        assert waiting.result(60) is None


def test_slots_are_those_of_open_consumers(queue: TaskQueue) -> None:
    assert queue.slots() == 0
    one, two = queue.open_bundle_consumer(3), queue.open_bundle_consumer(2)
    assert queue.slots() == 5
    one.close()
    one.close()
    assert queue.slots() == 2
    two.close()
    assert queue.slots() == 0


def test_bundles_wait_until_a_slot_has_them(queue: TaskQueue) -> None:
    assert queue.waiting_bundles() == 0
    queue.publish_bundles(BUNDLES[:4])
    until(lambda: queue.waiting_bundles() == 4)
    consumer = queue.open_bundle_consumer(2)
    one, two = receive(consumer), receive(consumer)
    until(lambda: queue.waiting_bundles() == 2)
    one.ack()
    two.ack()
    for _ in range(2):
        receive(consumer).ack()
    until(lambda: queue.waiting_bundles() == 0)


# Events


def test_events_come_without_repeats(queue: TaskQueue) -> None:
    for job_id in ("a", "b", "a", "c", "b"):
        queue.publish_event(JobEvent(job_id))
    events: list[JobEvent] = []
    while len(set(events)) < 3:
        received = queue.receive_events(LONG)
        assert len(received) == len(set(received)) > 0
        events.extend(received)
    assert set(events) == {JobEvent("a"), JobEvent("b"), JobEvent("c")}
    queue.publish_event(JobEvent("a"))
    assert queue.receive_events(LONG) == (JobEvent("a"),)
    assert queue.receive_events(SOON) == ()


def test_a_waiting_caller_gets_an_event(queue: TaskQueue) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(queue.receive_events, LONG)
        queue.publish_event(JobEvent("a"))
        assert waiting.result(60) == (JobEvent("a"),)


# The queue


def test_the_name_is_equal_exactly_where_the_queue_is_shared(
    open_queue: Callable[[], TaskQueue],
) -> None:
    one, two = open_queue(), open_queue()
    assert one.is_shared == two.is_shared
    assert (one.name == two.name) == one.is_shared
    assert one.name == one.name
    one.publish_event(JobEvent("a"))
    assert two.receive_events(5.0 if one.is_shared else SOON) == ((JobEvent("a"),) if one.is_shared else ())


def test_close_wakes_everybody(queue: TaskQueue) -> None:
    consumer = queue.open_bundle_consumer(1)
    with ThreadPoolExecutor(3) as threads:
        bundle = threads.submit(consumer.receive, LONG)
        events = threads.submit(queue.receive_events, LONG)
        dead = threads.submit(queue.receive_dead_bundles, LONG)
        queue.ping()
        queue.close()
        assert bundle.result(60) is None
        assert events.result(60) == ()
        assert dead.result(60) == ()
    queue.close()


def test_a_closed_queue_takes_nothing(queue: TaskQueue) -> None:
    queue.publish_bundles(BUNDLES[:1])
    consumer = queue.open_bundle_consumer(1)
    delivery = receive(consumer)
    queue.close()
    calls: list[Callable[[], object]] = [
        queue.ping,
        lambda: queue.publish_bundles(BUNDLES),
        lambda: queue.publish_event(JobEvent("a")),
        lambda: queue.open_bundle_consumer(1),
    ]
    for call in calls:
        with pytest.raises(QueueUnavailable):
            call()
    delivery.ack()
    consumer.close()
