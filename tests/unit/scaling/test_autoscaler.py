"""Real processes come and go by what the broker says."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.pods import Pod
from tests.scaling.autoscaler import Autoscaler
from tests.scaling.broker import QueueDepth
from tests.scaling.manifest import shipped_policy
from tests.scaling.policy import ScalingPolicy

PATIENCE_SECONDS = 60.0


@pytest.fixture
def policy() -> ScalingPolicy:
    return replace(shipped_policy(), max_replicas=3, target=1.0).faster(1000.0)


def sleeper(folder: Path) -> Callable[[int], Pod]:
    return lambda number: Pod(f"sleeper-{number}", ["sleep", "600"], os.environ, folder, PATIENCE_SECONDS)


def test_workers_come_with_the_work_and_are_asked_to_go_after_it(
    policy: ScalingPolicy, tmp_path: Path
) -> None:
    busy = threading.Event()
    busy.set()
    full, empty = threading.Event(), threading.Event()

    def look() -> QueueDepth:
        if autoscaler.workers == 3:
            full.set()
        elif full.is_set() and not autoscaler.workers:
            empty.set()
        return QueueDepth(5, 2) if busy.is_set() else QueueDepth(0, 0)

    autoscaler = Autoscaler(policy, look, sleeper(tmp_path))
    autoscaler.start()
    assert full.wait(PATIENCE_SECONDS)
    busy.clear()
    assert empty.wait(PATIENCE_SECONDS)
    autoscaler.stop()
    assert [ending.asked for ending in autoscaler.endings] == [signal.SIGTERM] * 3
    assert max(sample.workers for sample in autoscaler.samples) == 3


def test_a_broker_that_does_not_answer_ends_it_and_leaves_no_worker(
    policy: ScalingPolicy, tmp_path: Path
) -> None:
    looked = threading.Event()

    def look() -> QueueDepth:
        if autoscaler.workers:
            looked.set()
            raise ConnectionRefusedError("nobody there")
        return QueueDepth(1, 0)

    autoscaler = Autoscaler(policy, look, sleeper(tmp_path))
    autoscaler.start()
    assert looked.wait(PATIENCE_SECONDS)
    autoscaler.stop()
    assert isinstance(autoscaler.failure, ConnectionRefusedError)
    assert len(autoscaler.endings) == 1


def test_those_that_are_busy_are_let_go_first(policy: ScalingPolicy, tmp_path: Path) -> None:
    """Nothing that Kubernetes may do is worse, and that is what a rehearsal is for."""
    full, fewer = threading.Event(), threading.Event()

    def look() -> QueueDepth:
        if autoscaler.workers == 3:
            full.set()
        elif full.is_set():
            fewer.set()
        return QueueDepth(0, 1) if full.is_set() else QueueDepth(5, 2)

    autoscaler = Autoscaler(policy, look, sleeper(tmp_path), lambda worker: worker.name == "sleeper-1")
    autoscaler.start()
    assert fewer.wait(PATIENCE_SECONDS)
    autoscaler.stop()
    assert autoscaler.let_go_busy == 1
    assert autoscaler.endings[0].pod == "sleeper-1" or len(autoscaler.endings) > 1
