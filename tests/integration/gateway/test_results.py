"""Reports, clusters and labels of jobs that the real kernel fitted."""

from __future__ import annotations

import csv
import io
import math
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from kmeans.v1 import dataset_pb2, job_pb2, job_service_pb2, report_pb2, task_pb2

import ckernel
from kmeans_client import Client, KMeansError, covariance_name
from services.gateway import labels as labels_module
from services.gateway import models
from services.gateway.server import Gateway
from services.tables import limits


@pytest.fixture
def fitted(client: Client, bench: Any, dataset: dataset_pb2.Dataset) -> tuple[job_pb2.Job, dict[Any, Any]]:
    spec = job_pb2.JobSpec(dataset=dataset.name, max_k=4, n_experiments=2, n_init=4, seed=7)
    name = client.create_job(spec).job.name
    fits = bench.run(name)
    return client.get_job(name), fits


def test_the_report_recommends_the_true_k(client: Client, fitted: Any) -> None:
    job, fits = fitted
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED
    report = client.get_report(job.name)
    assert report.complete
    assert (report.job, report.min_members) == (job.name, 30)
    assert report.best.k == 3
    assert not report.best.at_edge
    highest = max(fit.bic for fit in fits.values())
    best = min(key for key, fit in fits.items() if fit.bic == highest)
    assert report.best.task == f"{job.name}/tasks/{best.short_id}"
    assert report.best.result.bic == highest
    assert [covariance_name(entry.covariance) for entry in report.covariances] == [
        covariance_name(covariance) for covariance in job.spec.covariances
    ]
    for entry in report.covariances:
        assert [point.k for point in entry.points] == [1, 2, 3, 4]
        assert entry.best.k == 3
    (warning,) = report.warnings
    assert warning.code == report_pb2.ReportWarning.CODE_ROWS_SKIPPED
    assert "2 of 150 rows" in warning.text
    assert "95 %" in report.interval_method


def test_the_bound_on_members_decides_what_counts(client: Client, fitted: Any) -> None:
    job, _ = fitted
    report = client.get_report(job.name, min_members=120)
    assert report.best.k == 1
    assert not client.get_report(job.name, min_members=1000).HasField("best")
    with pytest.raises(KMeansError) as refused:
        client.get_report(job.name, min_members=0)
    assert [violation.field for violation in refused.value.violations] == ["min_members"]


def test_a_report_is_computed_once_and_anew_when_the_job_has_changed(
    client: Client, backends: Any, fitted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = fitted
    first = client.get_report(job.name)
    read: list[str] = []
    all_tasks = type(backends.store).all_tasks

    def counted(self: Any, job_id: str) -> Any:
        read.append(job_id)
        return all_tasks(self, job_id)

    monkeypatch.setattr(type(backends.store), "all_tasks", counted)
    assert client.get_report(job.name) == first
    assert read == []
    client.retry_job(job.name, [first.best.task])
    read.clear()
    anew = client.get_report(job.name)
    assert not anew.complete
    assert anew.best.task != first.best.task
    assert len(read) == 1
    assert client.get_report(job.name, 40).min_members == 40
    assert len(read) == 2


def test_a_task_shows_its_clusters_in_original_units(client: Client, fitted: Any) -> None:
    job, _ = fitted
    best = client.get_report(job.name).best
    task = client.get_task(best.task)
    assert task.state == task_pb2.TASK_STATE_DONE
    assert task.result == best.result
    centers = sorted(tuple(round(value) for value in cluster.center) for cluster in task.clusters)
    assert centers == [(0, 0), (0, 6), (6, 0)]
    assert sum(cluster.count for cluster in task.clusters) == job.row_count
    assert math.isclose(sum(cluster.weight for cluster in task.clusters), 1.0)
    assert all(0.3 < value < 0.7 for cluster in task.clusters for value in cluster.standard_deviation)
    for cluster in task.clusters:
        covariance = np.reshape(cluster.covariance, (2, 2))
        np.testing.assert_array_equal(covariance, covariance.T)
        np.testing.assert_allclose(np.sqrt(np.diagonal(covariance)), cluster.standard_deviation, rtol=1e-12)


@pytest.mark.parametrize("run_labels", [200_000, 64])
def test_labels_are_those_that_were_scored(
    client: Client, fitted: Any, monkeypatch: pytest.MonkeyPatch, run_labels: int
) -> None:
    monkeypatch.setattr(labels_module, "MAX_RUN_LABELS", run_labels)
    job, fits = fitted
    for key, fit in fits.items():
        name = f"{job.name}/tasks/{key.short_id}"
        runs = list(client.stream_labels(name))
        assert {run.task for run in runs} == {name}
        assert [run.first_row for run in runs] == list(range(0, 150, run_labels))
        labels = np.array([label for run in runs for label in run.labels])
        assert len(labels) == 150
        assert np.flatnonzero(labels == -1).tolist() == [10, 70]
        np.testing.assert_array_equal(labels[labels >= 0], fit.labels)


@pytest.mark.parametrize("method", ["StreamLabels", "ExportLabels"])
def test_labels_that_nobody_waits_for_are_not_computed(
    jobs: Any,
    fitted: Any,
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    calls_end: Callable[[], threading.Event],
    method: str,
) -> None:
    """The client goes away between two blocks of rows: no further block is labelled for it."""
    job, _ = fitted
    labelling, go_on = threading.Event(), threading.Event()
    assigned = []

    def slowly(values: Any, model: Any) -> Any:
        assigned.append(len(values))
        labelling.set()
        go_on.wait(60)
        return ckernel.assign(values, model)

    monkeypatch.setattr(models, "_BLOCK_ROWS", 10)
    monkeypatch.setattr(models, "ckernel", SimpleNamespace(assign=slowly, Model=ckernel.Model))
    request = getattr(job_service_pb2, f"{method}Request")(name=job.name, min_members=5)
    call = getattr(jobs, method)(request, timeout=60)
    assert labelling.wait(60)
    ended = calls_end()
    call.cancel()
    assert ended.wait(60)
    go_on.set()
    gateway.stop(60)  # returns when no thread works for a call any more
    assert assigned == [10]


@pytest.mark.parametrize("group_bytes", [limits.ROW_GROUP_BYTES, 600])
def test_labels_of_chosen_rows_are_those_of_the_full_stream(
    client: Client, bench: Any, table: bytes, monkeypatch: pytest.MonkeyPatch, group_bytes: int
) -> None:
    monkeypatch.setattr(limits, "BLOCK_BYTES", group_bytes)
    monkeypatch.setattr(limits, "ROW_GROUP_BYTES", group_bytes)
    dataset = client.upload_dataset(io.BytesIO(table), display_name="three.csv")
    name = client.create_job(
        job_pb2.JobSpec(dataset=dataset.name, max_k=3, n_experiments=1, n_init=2)
    ).job.name
    fits = bench.run(name)
    for key, fit in fits.items():
        task = f"{name}/tasks/{key.short_id}"
        every = [label for run in client.stream_labels(task) for label in run.labels]
        assert [label for label in every if label >= 0] == fit.labels.tolist()
        for rows in ([0], [149], [10], [3, 9, 10, 11, 70, 148], range(20, 90), range(150)):
            (run,) = client.stream_labels(task, rows=rows)
            assert (run.task, run.first_row) == (task, 0)
            assert list(run.labels) == [every[row] for row in rows]
    monkeypatch.setattr(labels_module, "MAX_RUN_LABELS", 2)
    runs = list(client.stream_labels(task, rows=[1, 10, 100]))
    assert [(run.first_row, len(run.labels)) for run in runs] == [(0, 2), (2, 1)]


@pytest.mark.parametrize(
    ("rows", "field"),
    [
        ([-1], "rows[0]"),
        ([2, 1], "rows[1]"),
        ([1, 3, 3], "rows[2]"),
        ([0, 150], "rows[1]"),
        ([2**63 - 1], "rows[0]"),
        (range(250_001), "rows"),
    ],
)
def test_rows_that_cannot_be_labelled_are_refused(
    client: Client, fitted: Any, rows: list[int], field: str
) -> None:
    job, _ = fitted
    with pytest.raises(KMeansError) as refused:
        next(client.stream_labels(job.name, rows=rows))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in refused.value.violations] == [field]


def test_labels_of_a_job_are_those_of_its_best_task(client: Client, fitted: Any) -> None:
    job, _ = fitted
    assert next(client.stream_labels(job.name)).task == client.get_report(job.name).best.task
    few = next(client.stream_labels(job.name, min_members=120)).task
    assert few == client.get_report(job.name, min_members=120).best.task


def test_labels_need_a_fit(client: Client, bench: Any, failed: Any, dataset: dataset_pb2.Dataset) -> None:
    name = client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=1)).job.name
    keys = bench.start(name)
    bench.finish(keys[:1], failed)
    for resource, code, reason in (
        (name, grpc.StatusCode.FAILED_PRECONDITION, "NO_FIT_QUALIFIES"),
        (f"{name}/tasks/{keys[0].short_id}", grpc.StatusCode.FAILED_PRECONDITION, "TASK_NOT_FITTED"),
        (f"{name}/tasks/{keys[1].short_id}", grpc.StatusCode.FAILED_PRECONDITION, "TASK_NOT_FITTED"),
        (f"{name}/tasks/0-9-full-tied", grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND"),
        ("jobs/none", grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"),
        ("tasks/none", grpc.StatusCode.INVALID_ARGUMENT, "BAD_NAME"),
    ):
        with pytest.raises(KMeansError) as refused:
            next(client.stream_labels(resource))
        assert (refused.value.code, refused.value.reason) == (code, reason)
    report = client.get_report(name)
    assert not report.complete
    assert not report.HasField("best")
    codes = {warning.code: warning.text for warning in report.warnings}
    assert "1 of 60 tasks failed" in codes[report_pb2.ReportWarning.CODE_TASKS_FAILED]
    assert codes[report_pb2.ReportWarning.CODE_NO_FIT_QUALIFIES] == "No fit qualifies: 1 failed."


def test_the_table_comes_back_with_its_labels(client: Client, fitted: Any, table: bytes) -> None:
    job, _ = fitted
    labels = [label for run in client.stream_labels(job.name) for label in run.labels]
    exported = b"".join(client.export_labels(job.name)).decode()
    rows = list(csv.DictReader(io.StringIO(exported)))
    assert list(rows[0]) == ["longitude", "a", "b", "farm", "flat", "label"]
    assert [row["label"] for row in rows] == ["" if label < 0 else str(label) for label in labels]
    for row, original in zip(rows, csv.DictReader(io.StringIO(table.decode())), strict=True):
        assert row["farm"] == original["farm"]
        assert [row[name] and float(row[name]) for name in ("a", "b")] == [
            original[name] and float(original[name]) for name in ("a", "b")
        ]
    few = client.get_report(job.name, min_members=120).best.task
    assert list(client.export_labels(job.name, 120)) == list(client.export_labels(few))


def test_a_table_with_labels_needs_a_fit(client: Client, bench: Any, dataset: dataset_pb2.Dataset) -> None:
    name = client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=1)).job.name
    key = bench.start(name)[0]
    for resource, reason in (
        (name, "NO_FIT_QUALIFIES"),
        (f"{name}/tasks/{key.short_id}", "TASK_NOT_FITTED"),
        ("jobs/none", "JOB_NOT_FOUND"),
    ):
        with pytest.raises(KMeansError) as refused:
            next(client.export_labels(resource))
        assert refused.value.reason == reason
