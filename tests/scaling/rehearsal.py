"""The rehearsal: bursts of jobs on real servers, and real workers that come and go by the shipped policy."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from kmeans.v1 import job_pb2

from kmeans_client import Client
from services.backends.open import open_store
from services.core.ports import Store
from tests.chaos.pods import Pod
from tests.chaos.verdict import judge
from tests.chaos.watchers import Watcher
from tests.chaos.workload import Results, Workload, best_of, run_undisturbed, stored_fits
from tests.scaling.autoscaler import Autoscaler, Sample
from tests.scaling.broker import ManagedRabbitMQ
from tests.scaling.manifest import shipped_policy, shipped_slots
from tests.scaling.policy import ScalingPolicy
from tests.servers.fleet import Servers
from tests.servers.ports import HOST, choose_ports

__all__ = ["Outcome", "Plan", "rehearse"]

_GRACE_SECONDS = 20.0
_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.2
_LOOK_SECONDS = 2.0
_PROGRAM = Path(sys.executable).parent / "kmeans-service"


@dataclass(frozen=True, slots=True)
class Trickle(Workload):
    """A job of one task that lasts: while one of these follows the other, few workers are wanted."""

    rows: int = 10_000

    def spec(self, dataset: str) -> job_pb2.JobSpec:
        """Of one covariance, and of one and two clusters."""
        spec = Workload.spec(self, dataset)
        spec.max_k = 2
        spec.covariances.append(job_pb2.COVARIANCE_FULL_UNTIED)
        return spec

    @property
    def n_tasks(self) -> int:
        """Tasks of one job."""
        return 2 * self.n_experiments


# Of different lengths, so that one lasts when the other has ended.
_TRICKLES = (Trickle(1, 1, 2048), Trickle(1, 1, 1300))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is rehearsed.

    Attributes:
        jobs: of each burst. A trickle of small ones follows until a worker was let go in the middle of one.
        faster: windows, periods and the cooldown pass this many times as fast.
    """

    workload: Workload
    bursts: int = 2
    jobs: int = 2
    most_workers: int = 4
    faster: float = 15.0


@dataclass
class Outcome:
    """What came of it: `workers` are the most at once in each burst, `busy` those let go at their work."""

    samples: list[Sample] = field(default_factory=list)
    tasks: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    claims: int = 0
    let_go: int = 0
    busy: int = 0
    workers: list[int] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The one line."""
        path = " → ".join(["0", *(f"{most} → 0" for most in self.workers)])
        return (
            f"workers {path} tasks={self.tasks} lost={self.lost} doubled={self.doubled} wrong={self.wrong} "
            f"let_go={self.let_go} busy={self.busy} seconds={self.samples[-1].at_seconds:.0f}"
        )


def rehearse(folder: Path, plan: Plan) -> Outcome:
    """Run the bursts; ServerMissing without servers, TimeoutError when something never happens."""
    outcome = Outcome()
    workload = plan.workload
    expected = run_undisturbed(workload, folder / "calm")
    expected_of_trickles = [
        run_undisturbed(trickle, folder / f"calm-{trickle.n_init}") for trickle in _TRICKLES
    ]
    servers = Servers(folder / "servers")
    broker = servers.rabbitmq = ManagedRabbitMQ(folder / "servers")
    with ExitStack() as running:
        running.callback(servers.stop)
        servers.start()
        port = choose_ports(["gateway"])["gateway"]
        environment = _environment(servers)
        own = {"gateway": {"KMEANS_ADDRESS": f"{HOST}:{port}"}, "scheduler": {}}
        for name, extra in own.items():
            pod = Pod(name, [str(_PROGRAM), name], environment | extra, folder, _GRACE_SECONDS)
            pod.start()
            running.callback(pod.stop)
        client = running.enter_context(Client(f"{HOST}:{port}"))
        client.wait_until_ready(_PATIENCE_SECONDS)
        jobs = [(_submitter(client, workload), expected)] * plan.jobs
        trickles = [
            (_submitter(client, trickle), results)
            for trickle, results in zip(_TRICKLES, expected_of_trickles, strict=True)
        ]
        metrics: dict[str, str] = {}

        def make_worker(number: int) -> Pod:
            name = f"worker-{number}"
            metrics[name] = f"{HOST}:{choose_ports([name])[name]}"
            told = environment | {"KMEANS_METRICS_ADDRESS": metrics[name]}
            return Pod(name, [str(_PROGRAM), "worker"], told, folder, _GRACE_SECONDS)

        autoscaler = Autoscaler(
            _policy(plan), broker.depth, make_worker, lambda worker: _is_busy(metrics[worker.name])
        )
        running.callback(autoscaler.stop)
        _await(lambda: _answers(broker), "the broker's management")
        autoscaler.start()
        store = open_store(servers.mongodb.url)
        running.callback(store.close)
        for _ in range(plan.bursts):
            _burst(client, store, autoscaler, jobs, trickles, outcome)
    outcome.samples = autoscaler.samples
    outcome.let_go = len(autoscaler.endings)
    outcome.busy = autoscaler.let_go_busy
    if not outcome.busy:
        outcome.complaints.append("no worker was let go in the middle of its work.")
    outcome.complaints += [
        f"{ending.pod} ended with {ending.code}, asked for {ending.asked}."
        for ending in autoscaler.endings
        if ending.asked is not signal.SIGTERM or ending.is_disorderly
    ]
    return outcome


def _submitter(client: Client, workload: Workload) -> Callable[[], str]:
    """Creates a job of this workload each time, on one dataset, and returns its name."""
    dataset = client.upload_dataset(io.BytesIO(workload.table()), display_name="burst.csv").name
    return lambda: client.create_job(workload.spec(dataset)).job.name


# How a job is begun, and what is to come out of it.
_Begun = tuple[Callable[[], str], Results]
# A job that was begun, who watches it, and what is to come out of it.
_Run = tuple[str, Watcher, Results]


def _burst(
    client: Client,
    store: Store,
    autoscaler: Autoscaler,
    jobs: Sequence[_Begun],
    trickles: Sequence[_Begun],
    outcome: Outcome,
) -> None:
    """Run the jobs, keep a few workers busy until one of them is let go, then see the last one go."""
    if autoscaler.workers:
        raise RuntimeError("a burst begins without a worker")
    first, busy = len(autoscaler.samples), autoscaler.let_go_busy
    ended = [_ended(run, outcome) for run in [_begin(client, job) for job in jobs]]
    deadline = time.monotonic() + _PATIENCE_SECONDS
    running = deque((trickle, _begin(client, trickle)) for trickle in trickles)
    while running:
        trickle, run = running.popleft()
        ended.append(_ended(run, outcome))
        if autoscaler.let_go_busy == busy and time.monotonic() < deadline:
            running.append((trickle, _begin(client, trickle)))
    _await(lambda: autoscaler.failure or not autoscaler.workers, "the last worker to go")
    if autoscaler.failure is not None:
        raise autoscaler.failure
    for job, watcher, expected in ended:
        found = _results(client, store, job)
        verdict = judge(expected, found, [watcher.ends])
        outcome.tasks += len(found.fits)
        outcome.lost += len(verdict.lost)
        outcome.doubled += len(verdict.doubled)
        outcome.wrong += len(verdict.wrong)
        outcome.claims += sum(fit.attempts for fit in found.fits.values())
        outcome.complaints += [f"{job}: {complaint}" for complaint in verdict.complaints]
    most = max(sample.workers for sample in autoscaler.samples[first:])
    outcome.workers.append(most)
    if most < 2:
        outcome.complaints.append("a burst did not bring a second worker.")


def _begin(client: Client, begun: _Begun) -> _Run:
    submit, expected = begun
    job = submit()
    watcher = Watcher(job, client.target, job)
    watcher.start()
    return job, watcher, expected


def _ended(run: _Run, outcome: Outcome) -> _Run:
    _, watcher, _ = run
    if not watcher.join(_PATIENCE_SECONDS) or watcher.complaint:
        outcome.complaints.append(f"{watcher.name}: {watcher.complaint or 'it does not end.'}")
    watcher.close()
    return run


def _results(client: Client, store: Store, name: str) -> Results:
    job = client.get_job(name)
    best, labels = best_of(client, name) if job.state == job_pb2.JOB_STATE_SUCCEEDED else ("", "")
    fits = stored_fits(store, name.partition("/")[2])
    return Results(job_pb2.JobState.Name(job.state), fits, best, labels, job.task_counts.total)


def _policy(plan: Plan) -> ScalingPolicy:
    """What ships, for fewer workers, and faster."""
    return replace(shipped_policy(), max_replicas=plan.most_workers).faster(plan.faster)


def _is_busy(metrics: str) -> bool:
    """Whether a worker has a bundle in its hands, as it tells itself; no, while it does not tell anything."""
    try:
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=_LOOK_SECONDS) as answer:
            told = answer.read().decode()
    except OSError:
        return False
    return any(
        float(line.split()[1]) > 0
        for line in told.splitlines()
        if line.startswith("kmeans_bundles_in_progress ")
    )


def _environment(servers: Servers) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KMEANS_")}
    return {
        **clean,
        **servers.environment(),
        "KMEANS_WORKER_SLOTS": str(shipped_slots()),
        "KMEANS_BUNDLE_SECONDS": "0.5",
        "KMEANS_SHUTDOWN_GRACE_SECONDS": f"{_GRACE_SECONDS - 5:g}",
    }


def _answers(broker: ManagedRabbitMQ) -> bool:
    try:
        broker.depth()
    except OSError:
        return False
    return True


def _await(happens: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not happens():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {_PATIENCE_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)
