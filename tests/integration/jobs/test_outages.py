"""Servers that do not answer now and then: work goes on where it stopped, with the same results."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from services.core.covariance import Covariance
from services.core.errors import QueueUnavailable, StoreUnavailable, Unavailable
from services.core.jobs import JobState
from services.core.tasks import TaskKey

PATIENCE_SECONDS = 60.0


class Flaky:
    """Passes calls on; some fail, half of those only after they had their effect."""

    def __init__(
        self, target: Any, seed: int, error: type[Unavailable], methods: frozenset[str], share: float
    ) -> None:
        self._target = target
        self._random = random.Random(seed)
        self._error = error
        self._methods = methods
        self._share = share
        self.failures = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        return self._flaky(found) if name in self._methods else found

    def _flaky(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def flaky(*arguments: Any) -> Any:
            draw = self._random.random()
            if draw < self._share / 2:
                self.failures += 1
                raise self._error("It does not answer.")
            result = call(*arguments)
            if draw < self._share:
                self.failures += 1
                raise self._error("It answered too late.")
            return result

        return flaky


STORE = frozenset(
    {
        "acquire_lease", "claim_tasks", "close_job", "count_outstanding", "count_tasks", "expire_leases",
        "finish_tasks", "get_job", "mark_published", "release_lease", "release_tasks", "renew_lease",
        "start_job", "unfinished_jobs", "unpublished_tasks",
    }
)  # fmt: skip
QUEUE = frozenset({"publish_bundles", "publish_event", "receive_events"})


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_results_are_those_of_an_undisturbed_run(service: Any, seed: int, until: Any) -> None:
    service.submit("calm", n_experiments=20)
    service.run("calm")

    service.submit("disturbed", n_experiments=20, announce=False)
    store, queue = service.store, service.queue
    service.store = Flaky(store, seed, StoreUnavailable, STORE, 0.1)
    service.queue = Flaky(queue, seed, QueueUnavailable, QUEUE, 0.1)
    stop = threading.Event()
    scheduler = threading.Thread(
        target=service.scheduler(pause=lambda seconds: stop.wait(0.001)).run, args=(stop,)
    )
    with service.worker(slots=3):
        scheduler.start()

        def ended_meanwhile() -> bool:
            # Claims whose answer was lost are free again when their lease ends.
            service.clock.move(0.05)
            return store.get_job("disturbed").state.is_terminal

        until(ended_meanwhile)
        stop.set()
        scheduler.join()
    assert service.store.failures > 0
    assert service.queue.failures > 0
    service.store, service.queue = store, queue
    assert store.get_job("disturbed").state is JobState.SUCCEEDED
    assert service.fits("disturbed") == service.fits("calm")


def test_stop_does_not_wait_for_a_store_that_is_stuck(
    service: Any, counted_fit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.submit(max_k=1, n_experiments=1, covariances=(Covariance.FULL_TIED,))
    service.scheduler().handle_events()
    stuck, over = threading.Event(), threading.Event()

    def release(attempt_id: str, now: datetime) -> tuple[TaskKey, ...]:
        stuck.set()
        assert over.wait(PATIENCE_SECONDS)
        return ()

    counted_fit.gate = over
    try:
        with service.worker(fit=counted_fit) as worker:
            assert counted_fit.entered.wait(PATIENCE_SECONDS)
            monkeypatch.setattr(service.store, "release_tasks", release)
            # Would not return before `over` is set, which happens after it.
            assert not worker.stop(0.0)
            assert stuck.is_set()
    finally:
        over.set()
