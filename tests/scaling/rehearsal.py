"""The rehearsal: bursts of jobs on real servers, and real workers that come and go by the shipped policy."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Callable
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

__all__ = ["FASTER", "Outcome", "rehearse"]

# Windows, periods and the cooldown pass this many times as fast.
FASTER = 15.0
_MOST_WORKERS = 4
_BURSTS = 2
_JOBS = 2
_GRACE_SECONDS = 20.0
_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.2
_PROGRAM = Path(sys.executable).parent / "kmeans-service"


@dataclass
class Outcome:
    """What came of it; `workers` are the most at once in each burst."""

    samples: list[Sample] = field(default_factory=list)
    tasks: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    claims: int = 0
    let_go: int = 0
    workers: list[int] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The one line."""
        path = " → ".join(["0", *(f"{most} → 0" for most in self.workers)])
        return (
            f"workers {path} tasks={self.tasks} lost={self.lost} doubled={self.doubled} wrong={self.wrong} "
            f"let_go={self.let_go} seconds={self.samples[-1].at_seconds:.0f}"
        )


def rehearse(folder: Path, workload: Workload) -> Outcome:
    """Run the bursts; ServerMissing without servers, TimeoutError when something never happens."""
    outcome = Outcome()
    expected = run_undisturbed(workload, folder / "calm")
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
        dataset = client.upload_dataset(io.BytesIO(workload.table()), display_name="burst.csv").name
        autoscaler = Autoscaler(
            _policy(),
            broker.depth,
            lambda number: Pod(
                f"worker-{number}", [str(_PROGRAM), "worker"], environment, folder, _GRACE_SECONDS
            ),
        )
        running.callback(autoscaler.stop)
        _await(lambda: _answers(broker), "the broker's management")
        autoscaler.start()
        store = open_store(servers.mongodb.url)
        running.callback(store.close)
        for _ in range(_BURSTS):
            _burst(client, store, autoscaler, workload, dataset, expected, outcome)
    outcome.samples = autoscaler.samples
    outcome.let_go = len(autoscaler.endings)
    outcome.complaints += [
        f"{ending.pod} ended with {ending.code}, asked for {ending.asked}."
        for ending in autoscaler.endings
        if ending.asked is not signal.SIGTERM or ending.is_disorderly
    ]
    return outcome


def _burst(
    client: Client,
    store: Store,
    autoscaler: Autoscaler,
    workload: Workload,
    dataset: str,
    expected: Results,
    outcome: Outcome,
) -> None:
    if autoscaler.workers:
        raise RuntimeError("a burst begins without a worker")
    first = len(autoscaler.samples)
    jobs = [client.create_job(workload.spec(dataset)).job.name for _ in range(_JOBS)]
    watchers = [Watcher(job, client.target, job) for job in jobs]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        if not watcher.join(_PATIENCE_SECONDS) or watcher.complaint:
            outcome.complaints.append(f"{watcher.name}: {watcher.complaint or 'it does not end.'}")
        watcher.close()
    _await(lambda: autoscaler.failure or not autoscaler.workers, "the last worker to go")
    if autoscaler.failure is not None:
        raise autoscaler.failure
    for job, watcher in zip(jobs, watchers, strict=True):
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


def _results(client: Client, store: Store, name: str) -> Results:
    job = client.get_job(name)
    best, labels = best_of(client, name) if job.state == job_pb2.JOB_STATE_SUCCEEDED else ("", "")
    fits = stored_fits(store, name.partition("/")[2])
    return Results(job_pb2.JobState.Name(job.state), fits, best, labels, job.task_counts.total)


def _policy() -> ScalingPolicy:
    """What ships, for workers of one slot, fewer of them, and faster."""
    shipped = shipped_policy()
    per_slot = replace(shipped, target=shipped.target / shipped_slots(), max_replicas=_MOST_WORKERS)
    return per_slot.faster(FASTER)


def _environment(servers: Servers) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KMEANS_")}
    return {
        **clean,
        **servers.environment(),
        "KMEANS_WORKER_SLOTS": "1",
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
