"""Waiting for revisions: one thread looks for all who wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from services.backends.mongodb.revisions import RevisionWatch
from services.core.errors import ServiceError, StoreUnavailable
from tests.contract.samples import LONG


class Revisions:
    """What the watch looks at."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {"a": 1, "b": 1}
        self.looks: list[tuple[str, ...]] = []
        self.error: Exception | None = None
        self.looked = threading.Condition()
        self.threads: set[int] = set()

    def look(self, job_ids: Sequence[str]) -> Mapping[str, int]:
        with self.looked:
            self.looks.append(tuple(job_ids))
            self.threads.add(threading.get_ident())
            self.looked.notify_all()
            if self.error is not None:
                raise self.error
            return {job_id: self.of[job_id] for job_id in job_ids if job_id in self.of}

    def await_look(self, holds: Callable[[tuple[str, ...]], bool]) -> None:
        with self.looked:
            assert self.looked.wait_for(lambda: bool(self.looks) and holds(self.looks[-1]), 60)


@pytest.fixture
def revisions() -> Revisions:
    return Revisions()


@pytest.fixture
def watch(revisions: Revisions) -> Iterator[RevisionWatch]:
    watch = RevisionWatch(revisions.look)
    yield watch
    watch.close()


def test_nobody_looks_before_somebody_waits(watch: RevisionWatch, revisions: Revisions) -> None:
    watch.look_again({"a"})
    assert revisions.looks == []


def test_what_changed_already_is_told_at_once(watch: RevisionWatch) -> None:
    assert watch.wait("a", 0, LONG) == 1


def test_the_time_ends_a_wait_with_what_is(watch: RevisionWatch) -> None:
    assert watch.wait("a", 1, 0.0) == 1
    assert watch.wait("a", 5, 0.01) == 1


def test_a_job_that_is_gone_is_none(watch: RevisionWatch, revisions: Revisions) -> None:
    assert watch.wait("nope", 0, LONG) is None
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(watch.wait, "a", 1, LONG)
        revisions.await_look(lambda ids: "a" in ids)
        del revisions.of["a"]
        assert waiting.result(60) is None


def test_hundreds_wait_and_one_thread_looks(watch: RevisionWatch, revisions: Revisions) -> None:
    with ThreadPoolExecutor(300) as threads:
        waits: list[Future[int | None]] = [
            threads.submit(watch.wait, "ab"[number % 2], 1, LONG) for number in range(300)
        ]
        revisions.await_look(lambda ids: ids == ("a", "b"))
        revisions.of["a"] = 2
        watch.look_again({"a"})
        assert [wait.result(60) for wait in waits[::2]] == [2] * 150
        assert not any(wait.done() for wait in waits[1::2])
        revisions.of["b"] = 7
        assert [wait.result(60) for wait in waits[1::2]] == [7] * 150
    assert len(revisions.threads) == 1
    # Many ask at once: a look answers all who had asked by then.
    assert all(len(look) <= 2 for look in revisions.looks)
    assert len(revisions.looks) < 300


def test_a_store_that_does_not_answer_is_told_to_all(watch: RevisionWatch, revisions: Revisions) -> None:
    with ThreadPoolExecutor(3) as threads:
        waits = [threads.submit(watch.wait, "a", 1, LONG) for _ in range(3)]
        revisions.await_look(lambda ids: ids == ("a",))
        revisions.error = StoreUnavailable("away")
        for wait in waits:
            with pytest.raises(StoreUnavailable, match="away"):
                wait.result(60)
    revisions.error = None
    assert watch.wait("a", 0, LONG) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_in_looking_leaves_nobody_waiting(watch: RevisionWatch, revisions: Revisions) -> None:
    revisions.error = KeyError("ours")
    with pytest.raises(ServiceError, match="could not be watched"):
        watch.wait("a", 0, LONG)
    revisions.error = None
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(watch.wait, "a", 0, LONG).result(60) == 1
    # The thread of the mistake ends within this test, which alone expects its last words.
    watch.close()
    for thread in threading.enumerate():
        if thread.ident in revisions.threads:
            thread.join(60)


def test_close_sends_everybody_away(watch: RevisionWatch, revisions: Revisions) -> None:
    with ThreadPoolExecutor(3) as threads:
        waits = [threads.submit(watch.wait, "a", 1, LONG) for _ in range(3)]
        revisions.await_look(lambda ids: ids == ("a",))
        watch.close()
        watch.close()
        for wait in waits:
            with pytest.raises(StoreUnavailable):
                wait.result(60)
    with pytest.raises(StoreUnavailable):
        watch.wait("a", 0, 0.0)
