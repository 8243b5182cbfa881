"""What is computed while things break: a table, a job of it, and what comes out when nothing breaks."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from kmeans.v1 import job_pb2

from kmeans_client import Client
from services.backends.open import open_store
from services.core.ports import Store
from services.core.settings import read_settings
from services.embedded.service import EmbeddedService
from tests.chaos.watchers import Watcher

__all__ = ["Fit", "Results", "Workload", "best_of", "run_undisturbed", "stored_fits"]

_N_COVARIANCES = 6
_MAX_K = 10
_CALM_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Workload:
    """A job, and the table it clusters.

    Attributes:
        n_experiments: of 60 tasks each.
        n_init: starts per task: what makes the job long.
        rows: of the table.
    """

    seed: int
    n_experiments: int
    n_init: int
    rows: int = 1500

    @classmethod
    def of_tasks(cls, seed: int, n_tasks: int, n_init: int) -> Workload:
        """At least so many tasks."""
        return cls(seed, -(-n_tasks // (_MAX_K * _N_COVARIANCES)), n_init)

    @property
    def n_tasks(self) -> int:
        """Tasks of one job."""
        return self.n_experiments * _MAX_K * _N_COVARIANCES

    def spec(self, dataset: str) -> job_pb2.JobSpec:
        """The job on this dataset."""
        return job_pb2.JobSpec(
            dataset=dataset,
            max_k=_MAX_K,
            n_experiments=self.n_experiments,
            n_init=self.n_init,
            seed=self.seed,
        )

    def table(self) -> bytes:
        """A CSV of four overlapping clusters in three columns."""
        numbers = np.random.default_rng(self.seed)
        centers = numbers.normal(scale=3.0, size=(4, 3))
        values = centers[numbers.integers(4, size=self.rows)] + numbers.normal(size=(self.rows, 3))
        text = io.StringIO()
        text.write("a,b,c\n")
        np.savetxt(text, values, fmt="%.6f", delimiter=",")
        return text.getvalue().encode()


@dataclass(frozen=True, slots=True)
class Fit:
    """What the store holds of one task, to the last bit.

    Attributes:
        state: `done`, `degenerate`, …
        scores: every score as Python writes it, which tells any two floats apart.
        model: SHA-256 of the model's bytes; "" without one.
        attempts: how often it was claimed.
        revision: of its last change.
    """

    state: str
    scores: str
    model: str
    attempts: int
    revision: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """A job that has ended: its fits by task (`experiment-k-covariance`), and what it recommends.

    Attributes:
        best: the recommended task.
        labels: SHA-256 of its labels.
        n_counted: tasks in the job's own counts, over all states.
    """

    state: str
    fits: Mapping[str, Fit]
    best: str
    labels: str
    n_counted: int


def run_undisturbed(workload: Workload, home: Path) -> Results:
    """The results of the embedded service in this process, on backends of its own under `home`."""
    settings = read_settings(home=home, worker_slots=os.cpu_count() or 1)
    with EmbeddedService(settings) as service, Client(service.start("127.0.0.1:0")) as client:
        client.wait_until_ready(30.0)
        dataset = client.upload_dataset(io.BytesIO(workload.table()), display_name="calm.csv")
        name = client.create_job(workload.spec(dataset.name)).job.name
        watcher = Watcher("calm", client.target, name)
        watcher.start()
        try:
            if not watcher.join(_CALM_SECONDS) or watcher.complaint:
                raise TimeoutError(f"undisturbed, {name} does not end: {watcher.complaint or 'out of time'}")
        finally:
            watcher.close()
        job = client.get_job(name)
        best, labels = best_of(client, name)
    store = open_store(f"sqlite://{home / 'jobs.sqlite'}")
    try:
        return Results(
            job_pb2.JobState.Name(job.state),
            stored_fits(store, job.name.partition("/")[2]),
            best,
            labels,
            job.task_counts.total,
        )
    finally:
        store.close()


def best_of(client: Client, job: str) -> tuple[str, str]:
    """The recommended task of an ended job, and the SHA-256 of its labels."""
    digest = hashlib.sha256()
    best = ""
    for run in client.stream_labels(job):
        best = run.task.rpartition("/")[2]
        digest.update(np.asarray(run.labels, dtype="<i4").tobytes())
    return best, digest.hexdigest()


def stored_fits(store: Store, job_id: str) -> dict[str, Fit]:
    """Every task of a job as the store has it."""
    fits = {}
    for task in store.all_tasks(job_id):
        model = (
            "" if task.result is None else hashlib.sha256(store.get_model(task.key).to_bytes()).hexdigest()
        )
        fits[task.key.short_id] = Fit(
            str(task.state), repr(task.result), model, task.attempts, task.revision, task.error
        )
    return fits
