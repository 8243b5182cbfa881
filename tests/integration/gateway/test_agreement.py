"""GetAgreement through a real channel, on fits of the real kernel."""

from __future__ import annotations

import io
from typing import Any

import grpc
import numpy as np
import pytest
from kmeans.v1 import dataset_pb2, job_pb2
from sklearn.metrics import adjusted_rand_score

from kmeans_client import Client, KMeansError
from services.core import agreement as agreement_module
from services.gateway import agreements as agreements_module
from services.gateway.errors import CallEnded


@pytest.fixture(name="name")
def fit_job(client: Client, bench: Any) -> str:
    # Heavy tails and no clusters, one start each: experiments differ.
    draws = np.random.default_rng(5).standard_t(2, (150, 2))
    lines = [f"{'' if row in {10, 70} else a},{b}" for row, (a, b) in enumerate(draws)]
    table = io.BytesIO("\n".join(["a,b", *lines]).encode())
    dataset = client.upload_dataset(table, display_name="tails.csv")
    spec = job_pb2.JobSpec(dataset=dataset.name, max_k=5, n_experiments=5, n_init=1, max_iter=2, seed=3)
    name = client.create_job(spec).job.name
    bench.run(name)
    return name


def labels(client: Client, task: str) -> np.ndarray:
    every = np.array([label for run in client.stream_labels(task) for label in run.labels])
    return every[every >= 0]


def test_each_experiment_is_compared_with_the_best_task(client: Client, name: str) -> None:
    found = client.get_agreement(name, 5)
    report = client.get_report(name, 5)
    assert found.best == report.best.task
    assert (found.row_count, found.sampled) == (148, False)
    assert [entry.experiment for entry in found.experiments] == [0, 1, 2, 3, 4]
    best = labels(client, found.best)
    for entry in found.experiments:
        tasks = client.list_tasks(name, experiment=entry.experiment, best_first=True)
        qualified = [task for task in tasks if task.state == 3 and min(task.result.counts) >= 5]
        assert entry.task == qualified[0].name
        assert (entry.k, entry.covariance) == (qualified[0].k, qualified[0].covariance)
        expected = adjusted_rand_score(best, labels(client, entry.task))
        assert entry.adjusted_rand_index == pytest.approx(expected, abs=1e-12)
    indices = [entry.adjusted_rand_index for entry in found.experiments]
    assert 1.0 in indices
    assert min(indices) < 1.0


def test_one_cluster_agrees_with_one_cluster(client: Client, name: str) -> None:
    found = client.get_agreement(name, 148)
    assert {entry.k for entry in found.experiments} == {1}
    assert {entry.adjusted_rand_index for entry in found.experiments} == {1.0}


def test_many_rows_are_sampled(client: Client, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement_module, "MAX_COMPARED_ROWS", 60)
    found = client.get_agreement(name, 5)
    assert (found.row_count, found.sampled) == (60, True)
    rows = agreement_module.choose_compared(148)
    best = labels(client, found.best)[rows]
    for entry in found.experiments:
        expected = adjusted_rand_score(best, labels(client, entry.task)[rows])
        assert entry.adjusted_rand_index == pytest.approx(expected, abs=1e-12)


def test_an_answer_is_kept_until_the_job_changes(
    client: Client, backends: Any, bench: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.get_agreement(name)
    computed: list[object] = []
    compute = agreements_module.Agreements._compute

    def counted(self: Any, *arguments: Any) -> Any:
        computed.append(arguments)
        return compute(self, *arguments)

    monkeypatch.setattr(agreements_module.Agreements, "_compute", counted)
    assert client.get_agreement(name) == first
    assert computed == []
    client.get_agreement(name, 5)
    assert len(computed) == 1
    client.retry_job(name, [first.best])
    assert client.get_agreement(name).best != first.best
    assert len(computed) == 2


def test_it_ends_when_nobody_waits_any_more(backends: Any, bench: Any, name: str) -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise CallEnded("gone")

    agreements = agreements_module.Agreements(backends.store, backends.objects)
    with pytest.raises(CallEnded):
        agreements.of(bench.job(name), 5, check)
    assert asked == 3
    assert len(agreements.of(bench.job(name), 5, lambda: None).experiments) == 5


def test_what_cannot_be_compared_is_refused(
    client: Client, bench: Any, failed: Any, dataset: dataset_pb2.Dataset
) -> None:
    name = client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=1, n_experiments=1)).job.name
    invalid, precondition = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
    for resource, members, code, reason in (
        (name, 30, precondition, "NO_FIT_QUALIFIES"),
        (name, 0, invalid, "INVALID_INPUT"),
        (name, -(2**31), invalid, "INVALID_INPUT"),
        ("jobs/none", 30, grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"),
        (f"{name}/tasks/0-1-full-tied", 30, invalid, "BAD_NAME"),
        ("", 30, invalid, "BAD_NAME"),
    ):
        with pytest.raises(KMeansError) as refused:
            client.get_agreement(resource, members)
        assert (refused.value.code, refused.value.reason) == (code, reason)
    bench.finish(bench.start(name), failed)
    bench.close(name)
    with pytest.raises(KMeansError, match="No fit qualifies: 6 failed"):
        client.get_agreement(name)
