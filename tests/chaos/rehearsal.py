"""The rehearsal: jobs one after the other while faults strike, until the schedule is through."""

from __future__ import annotations

import io
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from kmeans.v1 import job_pb2

from kmeans_client import Client, KMeansError, Unreachable
from services.backends.assembly import Backends
from services.core.datasets import original_key, table_key
from services.core.pages import PageRequest
from tests.chaos.faults import Faults
from tests.chaos.schedule import Strike
from tests.chaos.topology import Size, Topology
from tests.chaos.verdict import Verdict, judge, judge_watches
from tests.chaos.watchers import Watcher
from tests.chaos.workload import Results, Workload, best_of, run_undisturbed, stored_fits

__all__ = ["Outcome", "Rehearsal"]

T = TypeVar("T")

# How long a call is tried again, and a job may go on after the last fault.
_CALL_SECONDS = 90.0
_PATIENCE_SECONDS = 180.0
_PAUSE_SECONDS = 0.25
_CALL_TIMEOUT_SECONDS = 10.0


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        struck: faults that hit something, as (seconds, fault).
        idle: faults that fell due while no job was running.
        reconnections: of all watchers.
        claims: of all tasks; those above `tasks` were done again after a loss.
    """

    struck: list[tuple[float, str]] = field(default_factory=list)
    idle: int = 0
    tasks: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    claims: int = 0
    reconnections: int = 0
    seconds: float = 0.0
    calm_seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The one line."""
        return (
            f"faults={len(self.struck)} tasks={self.tasks} lost={self.lost} doubled={self.doubled} "
            f"wrong={self.wrong} seconds={self.seconds:.0f}"
        )

    def add(self, verdict: Verdict, found: Results, job: str) -> None:
        """Count one job in."""
        self.tasks += len(found.fits)
        self.lost += len(verdict.lost)
        self.doubled += len(verdict.doubled)
        self.wrong += len(verdict.wrong)
        self.claims += sum(fit.attempts for fit in found.fits.values())
        self.complaints += [f"{job}: {complaint}" for complaint in verdict.complaints]


class Rehearsal:
    """One run over a topology that is started and stopped by it."""

    def __init__(
        self,
        folder: Path,
        workload: Workload,
        strikes: Sequence[Strike],
        *,
        seed: int,
        size: Size | None = None,
    ) -> None:
        """Run this schedule; logs are kept under `folder`. The seed names the client's requests."""
        self._folder = folder
        self._workload = workload
        self._strikes = strikes
        self._seed = seed
        self._topology = Topology(folder, size or Size())
        self._outcome = Outcome()
        self._began = 0.0
        self._running = threading.Event()
        self._stopping = threading.Event()
        self._ids = 0

    def run(self) -> Outcome:
        """Everything, from the first server to the last process; ServerMissing without servers."""
        outcome = self._outcome
        try:
            self._topology.start_servers()
            began = time.monotonic()
            expected = run_undisturbed(self._workload, self._folder / "calm")
            outcome.calm_seconds = time.monotonic() - began
            self._tell(f"undisturbed: {len(expected.fits)} tasks in {outcome.calm_seconds:.1f} s")
            self._topology.start_service()
            self._run_disturbed(expected)
        finally:
            self._stopping.set()
            self._topology.stop()
        outcome.complaints += [f"still there: {leftover}" for leftover in self._topology.leftovers()]
        outcome.complaints += [
            f"{ending.pod} answered SIGTERM with exit code {ending.code} after {ending.seconds:.1f} s."
            for ending in self._topology.endings
            if ending.is_disorderly
        ]
        return outcome

    def _run_disturbed(self, expected: Results) -> None:
        with ExitStack() as opened:
            clients = [
                opened.enter_context(Client(target, timeout_seconds=_CALL_TIMEOUT_SECONDS))
                for target in self._topology.targets
            ]
            table = self._workload.table()
            dataset = self._insist(
                clients, lambda client, request: _upload(client, table, request), "the upload"
            )
            pool = opened.enter_context(ThreadPoolExecutor(len(self._strikes) + 1))
            opened.callback(self._stopping.set)
            self._began = time.monotonic()
            faults = Faults(self._topology, self._stopping)
            pending = [pool.submit(self._carry_out, faults, strike) for strike in self._strikes]
            jobs: list[tuple[str, list[Watcher]]] = []
            while not jobs or not all(strike.done() for strike in pending):
                jobs.append(self._run_job(clients, dataset, pending))
            self._outcome.seconds = time.monotonic() - self._began
            for strike in pending:
                strike.result()
            with_backends = self._topology.open_backends()
            opened.callback(with_backends.close)
            for job, watchers in jobs:
                self._judge(clients, with_backends, expected, job, watchers)
            struck = [fault for _, fault in self._outcome.struck]
            self._outcome.complaints += judge_watches(struck, self._outcome.reconnections)
            self._outcome.complaints += _orphans(with_backends)

    def _run_job(
        self, clients: Sequence[Client], dataset: str, strikes: Sequence[Future[None]]
    ) -> tuple[str, list[Watcher]]:
        spec = self._workload.spec(dataset)
        job = self._insist(
            clients, lambda client, request: client.create_job(spec, request_id=request).job.name, "the job"
        )
        self._running.set()
        targets = self._topology.targets
        watchers = [Watcher(str(number), target, job) for number, target in enumerate(targets)]
        for watcher in watchers:
            watcher.start()
        self._tell(f"{job} submitted")
        deadline: float | None = None
        try:
            for watcher in watchers:
                while not watcher.join(_PAUSE_SECONDS):
                    # As long as faults strike, a job may take its time.
                    if deadline is None and all(strike.done() for strike in strikes):
                        deadline = time.monotonic() + _PATIENCE_SECONDS
                    if deadline is not None and time.monotonic() > deadline:
                        watcher.complaint = f"it had not ended {_PATIENCE_SECONDS:g} s after the last fault."
                        break
        finally:
            self._running.clear()
            for watcher in watchers:
                complaint = watcher.complaint
                watcher.close()
                watcher.complaint = complaint
        self._tell(f"{job} ended")
        return job, watchers

    def _carry_out(self, faults: Faults, strike: Strike) -> None:
        if self._stopping.wait(max(0.0, self._began + strike.at_seconds - time.monotonic())):
            return
        # Between two jobs for a moment: the strike waits for the next, so that it hits work in progress.
        if not self._running.wait(_PAUSE_SECONDS * 20):
            self._outcome.idle += 1
        at_seconds = time.monotonic() - self._began
        self._tell(f"{strike.fault} ({strike.seconds:g} s, target {strike.target})")
        if faults.strike(strike):
            self._outcome.struck.append((at_seconds, str(strike.fault)))
            if strike.seconds or time.monotonic() - self._began - at_seconds > 1.0:
                self._tell(f"{strike.fault} over")
        else:
            self._tell(f"{strike.fault} hit nothing")

    def _judge(
        self,
        clients: Sequence[Client],
        backends: Backends,
        expected: Results,
        job: str,
        watchers: Sequence[Watcher],
    ) -> None:
        found = self._results(clients, backends, job)
        self._outcome.add(judge(expected, found, [watcher.ends for watcher in watchers]), found, job)
        for watcher in watchers:
            self._outcome.reconnections += watcher.reconnections
            if watcher.complaint:
                self._outcome.complaints.append(f"{job}: watcher {watcher.name}: {watcher.complaint}")

    def _results(self, clients: Sequence[Client], backends: Backends, name: str) -> Results:
        job = self._insist(clients, lambda client, _: client.get_job(name), "the job's state")
        best = labels = ""
        if job.state == job_pb2.JOB_STATE_SUCCEEDED:
            best, labels = self._insist(clients, lambda client, _: best_of(client, name), "the labels")
        return Results(
            job_pb2.JobState.Name(job.state),
            stored_fits(backends.store, name.partition("/")[2]),
            best,
            labels,
            job.task_counts.total,
        )

    def _insist(self, clients: Sequence[Client], call: Callable[[Client, str], T], what: str) -> T:
        """Ask one gateway after the other, with the same request id, until one answers."""
        self._ids += 1
        request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._seed}/{self._ids}"))
        deadline = time.monotonic() + _CALL_SECONDS
        turn = 0
        while True:
            turn += 1
            try:
                return call(clients[turn % len(clients)], request_id)
            except KMeansError as error:
                is_passing = error.code.name in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
                if not is_passing and not isinstance(error, Unreachable):
                    raise
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{what} was refused for {_CALL_SECONDS:g} s: {error}") from error
            time.sleep(_PAUSE_SECONDS)

    def _tell(self, sentence: str) -> None:
        seconds = f"{time.monotonic() - self._began:7.1f} s  " if self._began else " " * 11
        print(f"{seconds}{sentence}", file=sys.stderr, flush=True)


def _upload(client: Client, table: bytes, request_id: str) -> str:
    dataset = client.upload_dataset(
        io.BytesIO(table), display_name="chaos.csv", request_id=request_id, timeout_seconds=60.0
    )
    return dataset.name


def _orphans(backends: Backends) -> list[str]:
    """Objects without a dataset, and datasets without their objects."""
    page = backends.store.list_datasets(None, PageRequest(size=1000))
    wanted: Mapping[str, str] = {
        key(dataset.id): dataset.id for dataset in page.items for key in (original_key, table_key)
    }
    found = set(backends.objects.list_keys("datasets/", datetime.max.replace(tzinfo=UTC)))
    orphans = [f"orphan object: {key}" for key in sorted(found - wanted.keys())]
    return orphans + [f"object missing: {key}" for key in sorted(wanted.keys() - found)]
