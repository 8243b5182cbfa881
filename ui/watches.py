"""Watched jobs: one stream per job and process, however many browsers look on.

A watch holds a thread of the gateway for as long as it is open. Sessions therefore share it: each page that
draws a job asks for it again and again, and a watch that nobody has asked for is closed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import pandas as pd
from kmeans.v1 import job_pb2, job_service_pb2, report_pb2, task_pb2

from kmeans_client import Client, KMeansError, Unreachable, has_ended
from ui.rates import Rate
from ui.states import ended_count
from ui.task_table import task_frame

__all__ = ["IDLE_SECONDS", "Live", "Watch", "Watches"]

# A browser asks every second; one in a tab in the background may be slowed down by a lot.
IDLE_SECONDS = 20.0
_LOOK_ROUND_SECONDS = 5.0
_REPORT_SECONDS = 2.0
# A service that tells nothing for so long is asked whether it is there; one that is not, as often.
_SILENCE_SECONDS = 2.0

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """A watched job as it is known now.

    Attributes:
        job: the last that was told.
        tasks: one row per task (`ui.task_table`), as of the same moment or just before.
        rate: tasks ended per second; None while it cannot be told.
        seconds_left: until the last task ends, at this rate; None while it cannot be told.
        is_away: whether nobody answers now, so that this is what was told before.
    """

    job: job_pb2.Job
    tasks: pd.DataFrame
    rate: float | None
    seconds_left: float | None
    is_away: bool = False


class Watch:
    """One job, followed on a thread of its own until it ends, the service refuses, or it is closed."""

    def __init__(
        self,
        open_client: Callable[[], Client],
        job: str,
        *,
        seconds: Callable[[], float] = time.monotonic,
        before: Watch | None = None,
    ) -> None:
        """Begin to watch `jobs/{job}` over a connection of its own: closing that ends the call.

        What the watch `before` was told is known until the service tells more.
        """
        self.job = job
        self._seconds = seconds
        self._client = open_client()
        self._lock = threading.Lock()
        self._told = threading.Event()
        self._latest: job_pb2.Job | None = None
        self._tasks: dict[str, task_pb2.Task] = {}
        self._frame: pd.DataFrame | None = None
        self._rate = Rate()
        self._failure: KMeansError | None = None
        self._failed_at = self._heard_at = seconds()
        self._is_away = False
        self._closed = False
        self._over = threading.Event()
        self._asking = threading.Lock()
        self._report: report_pb2.Report | None = None
        self._reported_at, self._reported_revision = 0.0, -1
        if before is not None and before._latest is not None:
            self._latest, self._tasks, self._report = before._latest, dict(before._tasks), before._report
            self._is_away = True
            self._told.set()
        self._thread = threading.Thread(target=self._follow, name=f"watch {job}", daemon=True)
        self._thread.start()
        threading.Thread(target=self._notice_silence, name=f"silence of {job}", daemon=True).start()

    def is_behind(self, revision: int) -> bool:
        """Whether it will never tell of this revision: it broke, or the job had ended and goes on."""
        with self._lock:
            if self._failure is not None:
                pause = _SILENCE_SECONDS if _may_pass(self._failure) else 0.0
                return self._seconds() - self._failed_at >= pause
            if self._latest is None:
                return False
            return has_ended(self._latest) and self._latest.revision < revision

    @property
    def is_lost(self) -> bool:
        """Whether it gave up because nobody answered for longer than a client waits."""
        return isinstance(self._failure, Unreachable)

    def live(self, timeout_seconds: float = 5.0) -> Live | None:
        """What is known, waiting for the first word of the service; None when that takes longer.

        Raises:
            KMeansError: the service refused, or is gone for longer than the client waits.
        """
        self._told.wait(timeout_seconds)
        with self._lock:
            is_lost = isinstance(self._failure, Unreachable)
            if self._failure is not None and not (is_lost and self._latest is not None):
                raise self._failure
            if self._latest is None:
                return None
            if self._frame is None:
                self._frame = task_frame(self._tasks.values())
            counts, now = self._latest.task_counts, self._seconds()
            if is_lost or self._is_away:
                return Live(self._latest, self._frame, None, None, is_away=True)
            left = self._rate.seconds_left(now, counts.total - ended_count(counts))
            return Live(self._latest, self._frame, self._rate.per_second(now), left)

    def report(self, client: Client) -> report_pb2.Report:
        """What the job recommends so far, asked anew at most every two seconds for all sessions together.

        The last answer while nobody answers.

        Raises:
            KMeansError: the service refuses, or is gone before it answered once.
        """
        with self._asking:
            latest = self._latest.revision if self._latest is not None else 0
            due = self._seconds() - self._reported_at >= _REPORT_SECONDS
            if self._report is None or (due and latest != self._reported_revision):
                self._reported_at = self._seconds()
                try:
                    self._report = client.get_report(self.job)
                    self._reported_revision = latest
                except Unreachable:
                    if self._report is None:
                        raise
            return self._report

    def close(self) -> None:
        """End the call and the thread; idempotent."""
        self._closed = True
        self._over.set()
        self._client.close()

    def join(self, timeout_seconds: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout_seconds)

    def _follow(self) -> None:
        try:
            for step in self._client.watch_job(self.job):
                self._fold(step)
        except KMeansError as error:
            self._fail(error)
        except Exception:  # noqa: BLE001 (logged, and told to whoever looks on)
            # Closed between two tries of a watch that resumes, gRPC says so by a ValueError.
            if not self._closed:
                # Whoever looks on would wait for good.
                _LOG.exception("The watch of %s broke", self.job)
                sentence = "The dashboard lost sight of this job, which goes on without it."
                self._fail(KMeansError(grpc.StatusCode.INTERNAL, "WATCH_BROKE", sentence))
        finally:
            self._over.set()
            self._told.set()
            self._client.close()

    def _fail(self, error: KMeansError) -> None:
        with self._lock:
            self._failure, self._failed_at = error, self._seconds()

    def _notice_silence(self) -> None:
        while not self._over.wait(_SILENCE_SECONDS):
            self.look_for_service()

    def look_for_service(self) -> None:
        """Ask whether the service is there when it is silent: a watch that resumes says nothing of it."""
        if self._seconds() - self._heard_at < _SILENCE_SECONDS:
            return
        try:
            self._client.get_job(self.job)
            is_away = False
        except Unreachable:
            is_away = True
        except (KMeansError, ValueError):
            # It answers, or the watch has just been closed.
            is_away = False
        with self._lock:
            self._is_away = is_away

    def _fold(self, step: job_service_pb2.WatchJobResponse) -> None:
        with self._lock:
            self._latest, self._heard_at, self._is_away = step.job, self._seconds(), False
            for task in step.tasks:
                self._tasks[task.name] = task
            if step.tasks:
                self._frame = None
            self._rate.see(self._seconds(), ended_count(step.job.task_counts))
        if not step.more:
            self._told.set()


def _may_pass(failure: KMeansError) -> bool:
    return isinstance(failure, Unreachable) or failure.reason == "WATCH_BROKE"


class Watches:
    """The watches of this process; safe to use from any thread."""

    def __init__(
        self,
        open_client: Callable[[], Client],
        *,
        idle_seconds: float = IDLE_SECONDS,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Each watch gets a client of its own from `open_client`."""
        self._open_client = open_client
        self._idle_seconds = idle_seconds
        self._seconds = seconds
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Watch, float]] = {}
        self._keeper: threading.Thread | None = None

    def get(self, job: str, revision: int = 0) -> Watch:
        """The watch of `jobs/{job}`, begun now if there is none; keeps it open for `idle_seconds`.

        One that broke is begun anew, and so is one that ended before this revision of the job: a retry
        makes an ended job go on.
        """
        with self._lock:
            watch, _ = self._open.get(job, (None, 0.0))
            if watch is None or watch.is_behind(revision):
                watch = Watch(
                    self._open_client,
                    job,
                    seconds=self._seconds,
                    before=watch if watch is not None and watch.is_lost else None,
                )
            self._open[job] = (watch, self._seconds())
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="watches", daemon=True)
                self._keeper.start()
            return watch

    def close_idle(self) -> int:
        """Close what nobody asked for within `idle_seconds`; return how many stay open."""
        with self._lock:
            limit = self._seconds() - self._idle_seconds
            idle = [job for job, (_, asked) in self._open.items() if asked <= limit]
            closing = [self._open.pop(job)[0] for job in idle]
            remaining = len(self._open)
        for watch in closing:
            watch.close()
        return remaining

    def _keep(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(_LOOK_ROUND_SECONDS)
            self.close_idle()
