"""Watchers: follow a job through whatever happens to the gateways, and remember all they were told."""

from __future__ import annotations

import threading
import time
from collections import defaultdict

from kmeans.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc, task_pb2

from kmeans_client import KMeansError, Unreachable, has_ended
from kmeans_client.channel import open_channel
from kmeans_client.watching import watch

__all__ = ["Watcher"]

_ENDED = {
    task_pb2.TASK_STATE_DONE,
    task_pb2.TASK_STATE_DEGENERATE,
    task_pb2.TASK_STATE_ERROR,
    task_pb2.TASK_STATE_CANCELLED,
}
_PAUSE_SECONDS = 0.25


class Watcher:
    """Watches one job at one gateway, from a thread.

    Attributes:
        job: as last told; None before the first step.
        ends: for each task (`experiment-k-covariance`), the revisions at which it was told as ended.
        reconnections: how often the watch was resumed.
        complaint: why it ended before the job did, else "".
    """

    def __init__(self, name: str, target: str, job: str) -> None:
        """Nothing is watched before `start`."""
        self.name = name
        self.job: job_pb2.Job | None = None
        self.ends: dict[str, set[int]] = defaultdict(set)
        self.reconnections = 0
        self.complaint = ""
        self._target = target
        self._job = job
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"watcher-{name}", daemon=True)
        self._channel = open_channel(target)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def join(self, timeout_seconds: float) -> bool:
        """Wait until the watch has ended on its own; return whether it has."""
        self._thread.join(max(0.0, timeout_seconds))
        return not self._thread.is_alive()

    def close(self) -> None:
        """Let go of the connection; a watch that still runs is broken off."""
        self._stopping.set()
        self._channel.close()
        self._thread.join(5.0)

    def _follow(self) -> None:
        stub = job_service_pb2_grpc.JobServiceStub(self._channel)
        request = job_service_pb2.WatchJobRequest(name=self._job)
        while not self._stopping.is_set():
            try:
                for step in watch(stub, self._target, request, sleep=self._reconnect):
                    self._note(step)
            except KMeansError as error:
                # By its contract a watch that never began fails at once; beginning is up to the caller.
                if self.job is None and (isinstance(error, Unreachable) or error.code.name == "UNAVAILABLE"):
                    self._stopping.wait(_PAUSE_SECONDS)
                    continue
                self.complaint = f"{error.reason}: {error.message}"
            except ValueError as error:
                # What gRPC raises for a call on a channel that was closed.
                self.complaint = f"broken off: {error}"
            else:
                if self.job is None or not has_ended(self.job):
                    self.complaint = "the watch ended before the job did."
            return

    def _reconnect(self, seconds: float) -> None:
        self.reconnections += 1
        time.sleep(seconds)

    def _note(self, step: job_service_pb2.WatchJobResponse) -> None:
        self.job = step.job
        for task in step.tasks:
            if task.state in _ENDED:
                self.ends[task.name.rpartition("/")[2]].add(task.revision)
