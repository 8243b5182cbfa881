"""Predict through a real channel: labels of the dataset's own rows, and streams meant ill."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from kmeans.v1 import dataset_pb2, job_pb2, job_service_pb2
from scipy.stats import chi2

from kmeans_client import Client, KMeansError
from kmeans_client.errors import translated

NAN, INF = math.nan, math.inf


@pytest.fixture(name="values")
def read_values(table: bytes) -> np.ndarray:
    cells = [line.split(",")[1:3] for line in table.decode().splitlines()[1:]]
    return np.array([[float(cell or "nan") for cell in row] for row in cells])


@pytest.fixture(name="name")
def fit_job(client: Client, bench: Any, dataset: dataset_pb2.Dataset) -> str:
    spec = job_pb2.JobSpec(dataset=dataset.name, max_k=3, n_experiments=1, n_init=2, seed=9)
    name = client.create_job(spec).job.name
    bench.run(name)
    return name


@pytest.fixture(name="task")
def best_task(client: Client, name: str) -> str:
    return client.get_report(name).best.task


def header(task: str, **fields: Any) -> job_service_pb2.PredictRequest:
    return job_service_pb2.PredictRequest(header={"task": task, **fields})


def rows(values: Iterable[float]) -> job_service_pb2.PredictRequest:
    return job_service_pb2.PredictRequest(rows={"values": values})


def answers(jobs: Any, *requests: job_service_pb2.PredictRequest) -> list[Any]:
    with translated("here"):
        return list(jobs.Predict(iter(requests), timeout=20))


def refusal(jobs: Any, *requests: job_service_pb2.PredictRequest) -> KMeansError:
    with pytest.raises(KMeansError) as refused:
        answers(jobs, *requests)
    return refused.value


@pytest.mark.parametrize("assignment", [1, 2], ids=["likelihood", "mahalanobis"])
@pytest.mark.parametrize("scale", [True, False], ids=["scaled", "unscaled"])
def test_own_rows_get_the_labels_of_the_stream(
    client: Client,
    jobs: Any,
    bench: Any,
    dataset: dataset_pb2.Dataset,
    values: np.ndarray,
    assignment: int,
    scale: bool,
) -> None:
    spec = job_pb2.JobSpec(
        dataset=dataset.name, max_k=3, n_experiments=1, n_init=2, assignment=assignment, scale=scale
    )
    name = client.create_job(spec).job.name
    for key in bench.run(name):
        task = client.get_task(f"{name}/tasks/{key.short_id}")
        expected = [label for run in client.stream_labels(task.name) for label in run.labels]
        pieces = np.array_split(values, [1, 1, 40, 99])
        found = answers(jobs, header(task.name), *(rows(piece.ravel()) for piece in pieces))
        assert [len(answer.labels) for answer in found] == [1, 0, 39, 59, 51]
        assert [label for answer in found for label in answer.labels] == expected
        squares = np.concatenate([answer.squared_distances for answer in found])
        outliers = np.concatenate([answer.outliers for answer in found])
        for cluster in task.clusters:
            mine = np.array(expected) == cluster.label
            steps = values[mine] - cluster.center
            inverse = np.linalg.inv(np.reshape(cluster.covariance, (2, 2)))
            np.testing.assert_allclose(squares[mine], ((steps @ inverse) * steps).sum(axis=1), rtol=1e-9)
        assert np.flatnonzero(np.isnan(squares)).tolist() == [10, 70]
        np.testing.assert_array_equal(outliers, squares > chi2.ppf(0.999, 2))


def test_columns_come_in_any_order(jobs: Any, task: str, values: np.ndarray) -> None:
    (straight,) = answers(jobs, header(task, columns=["a", "b"]), rows(values.ravel()))
    (turned,) = answers(jobs, header(task, columns=["b", "a"]), rows(values[:, ::-1].ravel()))
    (default,) = answers(jobs, header(task), rows(values.ravel()))
    assert straight.labels == turned.labels == default.labels
    np.testing.assert_array_equal(straight.squared_distances, turned.squared_distances)


def test_missing_values_and_far_rows(jobs: Any, task: str) -> None:
    (answer,) = answers(jobs, header(task), rows([0, 0, NAN, 0, 0, NAN, NAN, NAN, 1e9, -1e9]))
    assert [label == -1 for label in answer.labels] == [False, True, True, True, False]
    assert [math.isnan(square) for square in answer.squared_distances] == [False, True, True, True, False]
    assert list(answer.outliers) == [False, False, False, False, True]
    every = answers(jobs, header(task, outlier_probability=5e-324), rows([0.1, 0, NAN, 0]))
    assert list(every[0].outliers) == [True, False]
    assert answers(jobs, header(task)) == []


def test_each_message_is_answered_before_the_next_is_sent(jobs: Any, task: str) -> None:
    received: list[Any] = []

    def conversation() -> Iterator[job_service_pb2.PredictRequest]:
        yield header(task)
        for count in range(1, 4):
            yield rows([0.0, 6.0] * count)
            with arrived:
                assert arrived.wait_for(lambda count=count: len(received) == count, timeout=20)

    arrived = threading.Condition()
    for answer in jobs.Predict(conversation(), timeout=60):
        with arrived:
            received.append(answer)
            arrived.notify_all()
    assert [len(answer.labels) for answer in received] == [1, 2, 3]


def test_the_largest_message_is_answered_in_one(client: Client, jobs: Any, bench: Any, task: str) -> None:
    values = np.zeros(393_216)
    (answer,) = answers(jobs, header(task), rows(values))
    assert len(answer.labels) == 196_608
    assert answer.ByteSize() < 4 << 20
    refused = refusal(jobs, header(task), rows(np.zeros(393_218)))
    assert [violation.field for violation in refused.violations] == ["rows.values"]


def test_a_degenerate_model_labels(
    client: Client, jobs: Any, bench: Any, dataset: dataset_pb2.Dataset
) -> None:
    spec = job_pb2.JobSpec(
        dataset=dataset.name, columns=["a", "flat"], scale=False, max_k=1, n_experiments=1, n_init=1
    )
    name = client.create_job(spec).job.name
    bench.run(name)
    (answer,) = answers(jobs, header(f"{name}/tasks/0-1-full-untied"), rows([0.0, 1.0]))
    assert list(answer.labels) == [0]


def test_messages_out_of_turn_are_refused(jobs: Any, task: str) -> None:
    empty = job_service_pb2.PredictRequest()
    for requests, field in (
        ((), "header"),
        ((empty,), "header"),
        ((rows([0, 0]), header(task)), "header"),
        ((header(task), header(task)), "rows"),
        ((header(task), rows([0, 0]), empty), "rows"),
    ):
        refused = refusal(jobs, *requests)
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert [violation.field for violation in refused.violations] == [field]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"columns": ["a"]}, "header.columns"),
        ({"columns": ["a", "a"]}, "header.columns[1]"),
        ({"columns": ["a", "b", "a"]}, "header.columns[2]"),
        ({"columns": ["a", "farm"]}, "header.columns[1]"),
        ({"columns": ["a", "b", "flat"]}, "header.columns[2]"),
        ({"columns": ["x" * 100] * 20_000}, "header.columns[1]"),
        ({"outlier_probability": 0.0}, "header.outlier_probability"),
        ({"outlier_probability": 1.0}, "header.outlier_probability"),
        ({"outlier_probability": NAN}, "header.outlier_probability"),
    ],
)
def test_a_wrong_header_is_refused(jobs: Any, task: str, fields: dict[str, Any], field: str) -> None:
    refused = refusal(jobs, header(task, **fields), rows([0, 0]))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in refused.violations] == [field]


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ([0, 0, 0], "rows.values", "3 values"),
        ([0, 0, 0, INF], "rows.values[3]", "row 3 of the stream (from 0) and column 'b', is inf"),
        ([NAN, -INF], "rows.values[1]", "row 2 of the stream (from 0) and column 'b', is -inf"),
        ([1e308, 0], "rows.values[0]", "column 'a', is 1e+308"),
        ([1e141, 0], "rows.values[0]", "column 'a', is 1e+141"),
    ],
)
def test_values_that_cannot_be_labelled_are_refused(
    jobs: Any, task: str, values: list[float], field: str, words: str
) -> None:
    refused = refusal(jobs, header(task), rows([0, 0, 6, 0]), rows(values))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in refused.violations] == [field]
    assert words in refused.message
    turned = refusal(jobs, header(task, columns=["b", "a"]), rows([0, 0, INF, 0]))
    assert turned.violations[0].field == "rows.values[2]"
    assert "row 1 of the stream (from 0) and column 'b'" in turned.message


def test_a_task_without_a_model_is_refused(
    client: Client, jobs: Any, bench: Any, failed: Any, name: str, dataset: dataset_pb2.Dataset
) -> None:
    other = client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=1, n_experiments=1)).job.name
    keys = bench.start(other)
    bench.finish(keys[:1], failed)
    for task, code, reason in (
        (f"{other}/tasks/{keys[0].short_id}", grpc.StatusCode.FAILED_PRECONDITION, "TASK_NOT_FITTED"),
        (f"{other}/tasks/{keys[1].short_id}", grpc.StatusCode.FAILED_PRECONDITION, "TASK_NOT_FITTED"),
        (f"{name}/tasks/0-9-full-tied", grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND"),
        ("jobs/none/tasks/0-1-full-tied", grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"),
        (name, grpc.StatusCode.INVALID_ARGUMENT, "BAD_NAME"),
        ("", grpc.StatusCode.INVALID_ARGUMENT, "BAD_NAME"),
    ):
        refused = refusal(jobs, header(task))
        assert (refused.code, refused.reason) == (code, reason)


def test_predictions_take_slots_and_give_them_back(jobs: Any, task: str, settle: Any) -> None:
    done = threading.Event()

    def idle() -> Iterator[job_service_pb2.PredictRequest]:
        yield header(task)
        yield rows([0, 0])
        done.wait(60)

    # Eight threads, half of them for transfers.
    calls = [jobs.Predict(idle(), timeout=60) for _ in range(4)]
    assert [len(next(call).labels) for call in calls] == [1, 1, 1, 1]
    refused = refusal(jobs, header(task))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
    for call in calls:
        call.cancel()
    done.set()

    def is_free() -> bool:
        try:
            return len(answers(jobs, header(task), rows([0, 0]))) == 1
        except KMeansError as error:
            if error.reason != "TOO_MANY_STREAMS":
                raise
            return False

    settle(is_free)
