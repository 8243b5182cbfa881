"""Domain values as messages, and back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from kmeans.v1 import dataset_pb2, job_pb2, task_pb2

import ckernel
from services.core.covariance import Assignment, Covariance
from services.core.datasets import (
    Column,
    ColumnKind,
    ColumnRole,
    ColumnStatistics,
    Correlation,
    Dataset,
    TableFormat,
)
from services.core.errors import InvalidInput
from services.core.jobs import Job, JobSpec, JobState
from services.core.models import FittedModel
from services.core.reporting import build_report
from services.core.tasks import Task, TaskCounts, TaskKey, TaskResult, TaskState
from services.gateway import messages
from services.gateway.messages.enums import COLUMN_KINDS, COLUMN_ROLES, EnumNames
from services.gateway.paging import MAX_MESSAGE_BYTES

NOW = datetime(2031, 5, 6, 7, 8, 9, 123000, tzinfo=UTC)
STATISTICS = ColumnStatistics(-1.0, 4.0, 0.5, 1.25)
DATASET = Dataset(
    id="d1",
    owner="",
    display_name="soil.csv",
    format=TableFormat.CSV,
    size_bytes=1000,
    sha256="0" * 64,
    row_count=40,
    columns=(
        Column("longitude", ColumnKind.NUMERIC, ColumnRole.LONGITUDE, 0, STATISTICS),
        Column("ec", ColumnKind.NUMERIC, ColumnRole.FEATURE, 2, STATISTICS),
        Column("flat", ColumnKind.NUMERIC, ColumnRole.FEATURE, 1, ColumnStatistics(1.0, 1.0, 1.0, 0.0)),
        Column("farm", ColumnKind.TEXT, ColumnRole.FEATURE, 1, None, 1, "North"),
    ),
    correlation=Correlation(("longitude", "ec"), (1.0, 0.5, 0.5, 1.0), 38),
    created_at=NOW,
    request_id="r",
)
RESULT = TaskResult(-10.0, -12.0, -11.0, 7, 9, True, True, (30, 10), 3, "too small")
JOB = Job(
    id="j1",
    owner="",
    display_name="soil",
    spec=JobSpec("d1", ("ec",), 2, 1, 5, (Covariance.FULL_UNTIED,), Assignment.MAHALANOBIS, False, 11, 50),
    row_count=38,
    skipped_row_count=2,
    created_at=NOW,
    state=JobState.FAILED,
    started_at=NOW,
    ended_at=NOW,
    revision=5,
    failure="it broke",
)
TASK = Task(
    TaskKey("j1", 1, 2, Covariance.DIAG_TIED),
    TaskState.DEGENERATE,
    revision=4,
    attempts=2,
    attempt_id="a",
    started_at=NOW,
    ended_at=NOW,
    seconds=0.25,
    result=RESULT,
    error="worker lost",
)
SPECS = st.builds(
    JobSpec,
    st.just("d1"),
    st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8).map(tuple),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.lists(st.sampled_from(list(Covariance)), min_size=1, max_size=8).map(tuple),
    st.sampled_from(list(Assignment)),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**31), 2**31 - 1),
)


def unset_fields(message: Message) -> set[str]:
    return {field.name for field in message.DESCRIPTOR.fields} - {
        field.name for field, _ in message.ListFields()
    }


@pytest.mark.parametrize(
    ("names", "domain", "proto"),
    [
        (messages.ASSIGNMENTS, Assignment, job_pb2.Assignment),
        (messages.COVARIANCES, Covariance, job_pb2.Covariance),
        (messages.JOB_STATES, JobState, job_pb2.JobState),
        (messages.TABLE_FORMATS, TableFormat, dataset_pb2.TableFormat),
        (messages.TASK_STATES, TaskState, task_pb2.TaskState),
        (COLUMN_KINDS, ColumnKind, dataset_pb2.ColumnKind),
        (COLUMN_ROLES, ColumnRole, dataset_pb2.ColumnRole),
    ],
)
def test_enums_are_the_same_on_both_sides(names: EnumNames[Any], domain: type[StrEnum], proto: Any) -> None:
    assert len(domain) == len(proto.items()) - 1
    for member in domain:
        assert names.read(proto.Value(names.name(member)), "field") is member
    assert names.read(0, "field") is None
    with pytest.raises(InvalidInput) as refused:
        names.read_all([99], "spec.things")
    assert refused.value.violations[0].field == "spec.things[0]"
    with pytest.raises(InvalidInput):
        names.read_all([0], "spec.things")


def test_every_field_of_a_dataset_is_set() -> None:
    message = messages.dataset_message(DATASET)
    assert not unset_fields(message)
    number, text = message.columns[1], message.columns[3]
    assert unset_fields(number) == {"text_row", "text_value"}
    assert unset_fields(text) == {"statistics"}
    assert not unset_fields(number.statistics)
    assert message.create_time.ToDatetime(tzinfo=UTC) == NOW
    assert not unset_fields(messages.correlation_message(DATASET.correlation))


def test_every_field_of_a_job_is_set() -> None:
    counts = TaskCounts({state: i for i, state in enumerate(TaskState, start=1)})
    message = messages.job_message(JOB, counts)
    assert not unset_fields(message)
    assert not unset_fields(message.spec)
    assert not unset_fields(message.task_counts)
    assert message.task_counts.total == sum(range(1, 7))


def test_every_field_of_a_task_is_set() -> None:
    model = FittedModel(
        Covariance.DIAG_TIED,
        Assignment.LIKELIHOOD,
        ("ec",),
        np.array([1.0]),
        np.array([2.0]),
        np.array([0.75, 0.25]),
        np.array([[1.0], [2.0]]),
        np.array([4.0]),
    )
    message = messages.task_message(TASK, messages.cluster_messages(RESULT, model))
    assert not unset_fields(message)
    assert not unset_fields(message.result)
    assert not unset_fields(message.clusters[1])
    assert [cluster.center[0] for cluster in message.clusters] == [3.0, 5.0]
    assert [cluster.standard_deviation[0] for cluster in message.clusters] == [4.0, 4.0]


def test_every_field_of_a_report_is_set() -> None:
    result = TaskResult(-10.0, -12.0, -11.0, 7, 9, True, False, (30, 10), 0)
    done = Task(TaskKey("j1", 0, 2, Covariance.FULL_UNTIED), TaskState.DONE, result=result)
    flat = replace(done, key=replace(done.key, experiment=1), state=TaskState.DEGENERATE)
    small = replace(done, key=replace(done.key, experiment=2), result=replace(result, counts=(38, 2)))
    message = messages.report_message(JOB, build_report(JOB, [done, flat, small], 5))
    assert not unset_fields(message)
    assert unset_fields(message.best) == {"experiment"}
    assert message.best.at_edge
    assert unset_fields(message.covariances[0]) == {"note"}
    assert not unset_fields(message.covariances[0].points[1])
    assert not any(unset_fields(warning) for warning in message.warnings)
    nothing = messages.report_message(JOB, build_report(JOB, [flat], 5))
    assert unset_fields(nothing.covariances[0]) == {"best"}


@given(SPECS)
def test_a_spec_is_read_as_it_is_written(spec: JobSpec) -> None:
    written = messages.spec_message(spec).SerializeToString()
    assert messages.read_spec(job_pb2.JobSpec.FromString(written), DATASET) == spec


def test_an_empty_spec_has_the_defaults() -> None:
    spec = messages.read_spec(job_pb2.JobSpec(dataset="datasets/d1"), DATASET)
    assert spec == JobSpec("d1", ("ec",), 10, 10, 10, tuple(Covariance), Assignment.LIKELIHOOD, True, 0, 300)


def test_zero_is_not_a_default() -> None:
    spec = messages.read_spec(job_pb2.JobSpec(max_k=0, scale=False), DATASET)
    assert (spec.max_k, spec.scale) == (0, False)


def test_more_columns_than_any_dataset_has_are_refused_before_they_are_looked_at() -> None:
    with pytest.raises(InvalidInput) as refused:
        messages.read_spec(job_pb2.JobSpec(columns=map(str, range(257))), DATASET)
    assert refused.value.violations[0].field == "spec.columns"


@pytest.mark.parametrize("covariance", list(Covariance))
def test_clusters_are_in_original_units(covariance: Covariance) -> None:
    generator = np.random.default_rng(5)
    k, d = 3, 2
    shape = ckernel.parameters_shape(covariance.value, k, d)
    parameters = generator.uniform(0.5, 2.0, shape)
    offset, scale = np.array([10.0, -3.0]), np.array([2.0, 0.5])
    centers = generator.normal(size=(k, d))
    weights = np.array([0.5, 0.3, 0.2])
    model = FittedModel(
        covariance, Assignment.LIKELIHOOD, ("a", "b"), offset, scale, weights, centers, parameters
    )
    full = ckernel.Model(covariance.value, "likelihood", weights, centers, parameters).covariances
    result = TaskResult(0, 0, 0, 1, 1, True, False, (5, 3, 2), 0)
    clusters = messages.cluster_messages(result, model)
    assert [(cluster.label, cluster.count) for cluster in clusters] == [(0, 5), (1, 3), (2, 2)]
    np.testing.assert_allclose([cluster.weight for cluster in clusters], weights)
    np.testing.assert_allclose([cluster.center for cluster in clusters], centers * scale + offset)
    deviations = [np.sqrt(np.diagonal(np.diag(scale) @ one @ np.diag(scale))) for one in full]
    np.testing.assert_allclose([cluster.standard_deviation for cluster in clusters], deviations)
    np.testing.assert_allclose(
        [np.reshape(cluster.covariance, (d, d)) for cluster in clusters],
        [np.diag(scale) @ one @ np.diag(scale) for one in full],
    )


def test_deviations_in_tiny_units_do_not_vanish() -> None:
    one = np.ones(1)
    model = FittedModel(
        Covariance.SPHER_TIED,
        Assignment.LIKELIHOOD,
        ("a",),
        0 * one,
        1e-200 * one,
        one,
        one[:, None],
        4 * one,
    )
    (cluster,) = messages.cluster_messages(TaskResult(0, 0, 0, 1, 1, True, False, (5,), 0), model)
    assert cluster.standard_deviation == [2e-200]


def test_clusters_of_many_wide_covariances_fit_into_a_message() -> None:
    def task(k: int, d: int) -> task_pb2.Task:
        model = FittedModel(
            Covariance.SPHER_TIED,
            Assignment.LIKELIHOOD,
            tuple(map(str, range(d))),
            np.zeros(d),
            np.ones(d),
            np.full(k, 1 / k),
            np.full((k, d), 0.1),
            np.ones(1),
        )
        result = TaskResult(0, 0, 0, 1, 1, True, False, (10**9,) * k, 0)
        return messages.task_message(TASK, messages.cluster_messages(result, model))

    widest, largest = task(50, 256), task(6, 256)
    assert [len(cluster.covariance) for cluster in widest.clusters] == [0] * 50
    assert [len(cluster.standard_deviation) for cluster in widest.clusters] == [256] * 50
    assert [len(cluster.covariance) for cluster in largest.clusters] == [256 * 256] * 6
    assert max(widest.ByteSize(), largest.ByteSize()) < MAX_MESSAGE_BYTES
