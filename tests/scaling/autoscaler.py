"""An autoscaler of real processes: looks at the broker, decides as KEDA and the HPA do, and acts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from tests.chaos.pods import Ending, Pod
from tests.scaling.broker import QueueDepth
from tests.scaling.policy import History, ScalingPolicy, decide

__all__ = ["Autoscaler", "Sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: seconds since the start, the queue as it was told, and the workers wanted from then on."""

    at_seconds: float
    depth: QueueDepth
    workers: int


class Autoscaler:
    """Keeps as many workers as the policy wants, from a thread of its own.

    Attributes:
        samples: of every look so far.
        endings: of every worker that was let go.
        let_go_busy: how many of them had work in their hands then.
        failure: why it gave up, or None.
    """

    def __init__(
        self,
        policy: ScalingPolicy,
        look: Callable[[], QueueDepth],
        make_worker: Callable[[int], Pod],
        is_busy: Callable[[Pod], bool] = lambda worker: False,
    ) -> None:
        """`make_worker` is given a number of its own each time, and returns a pod not yet started.

        Those that are busy are let go first: Kubernetes does not know which they are, and this is the worst
        that it could do.
        """
        self.samples: list[Sample] = []
        self.endings: list[Ending] = []
        self.let_go_busy = 0
        self.failure: BaseException | None = None
        self._policy = policy
        self._look = look
        self._make_worker = make_worker
        self._is_busy = is_busy
        self._workers: list[Pod] = []
        self._made = 0
        self._stopping = threading.Event()
        self._goodbyes = ThreadPoolExecutor(max(1, policy.max_replicas), thread_name_prefix="goodbye")
        self._going: list[Future[None]] = []
        self._thread = threading.Thread(target=self._run, name="autoscaler", daemon=True)
        self._began = time.monotonic()

    @property
    def workers(self) -> int:
        """How many are wanted now."""
        return len(self._workers)

    def start(self) -> None:
        """Begin to look."""
        self._began = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End every worker, and raise the first error of one that did not go."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._set(0)
        self._goodbyes.shutdown()
        for gone in self._going:
            gone.result()

    def _run(self) -> None:
        history = History()
        try:
            while not self._stopping.wait(self._policy.pause_seconds(self.workers)):
                depth = self._look()
                now = time.monotonic() - self._began
                wanted, history = decide(self._policy, history, now, depth.messages, len(self._workers))
                self.samples.append(Sample(now, depth, wanted))
                self._set(wanted)
        except OSError as error:
            self.failure = error

    def _set(self, wanted: int) -> None:
        while len(self._workers) < wanted:
            worker = self._make_worker(self._made)
            self._made += 1
            worker.start()
            self._workers.append(worker)
        if len(self._workers) <= wanted:
            return
        busy = {worker for worker in self._workers if self._is_busy(worker)}
        self._workers.sort(key=busy.__contains__)
        while len(self._workers) > wanted:
            worker = self._workers.pop()
            self.let_go_busy += worker in busy
            self._going.append(self._goodbyes.submit(self._let_go, worker))

    def _let_go(self, worker: Pod) -> None:
        worker.stop()
        self.endings += worker.endings
