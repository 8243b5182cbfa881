"""The public face, and enums as people write them."""

from __future__ import annotations

import pytest
from kmeans.v1 import job_pb2, task_pb2

import kmeans_client


def test_the_public_face() -> None:
    assert set(kmeans_client.__all__) == {
        "CHUNK_BYTES",
        "MAX_PREDICT_VALUES",
        "MAX_RESUMES",
        "SYSTEM_CA",
        "Client",
        "Credentials",
        "KMeansError",
        "Progress",
        "Unreachable",
        "Violation",
        "assignment_name",
        "assignment_value",
        "covariance_name",
        "covariance_value",
        "has_ended",
        "state_name",
    }
    assert all(hasattr(kmeans_client, name) for name in kmeans_client.__all__)


@pytest.mark.parametrize("value", [value for value in job_pb2.Covariance.values() if value])
def test_covariances_are_read_as_they_are_written(value: int) -> None:
    name = kmeans_client.covariance_name(value)
    assert job_pb2.Covariance.Value(kmeans_client.covariance_value(name)) == value


@pytest.mark.parametrize("value", [value for value in job_pb2.Assignment.values() if value])
def test_assignments_are_read_as_they_are_written(value: int) -> None:
    name = kmeans_client.assignment_name(value)
    assert job_pb2.Assignment.Value(kmeans_client.assignment_value(name)) == value


def test_an_unknown_name_says_which_exist() -> None:
    assert kmeans_client.covariance_value(" Full-Untied ") == "COVARIANCE_FULL_UNTIED"
    with pytest.raises(ValueError, match="full-untied, full-tied"):
        kmeans_client.covariance_value("round")
    with pytest.raises(ValueError, match="likelihood, mahalanobis"):
        kmeans_client.assignment_value("nearest")


def test_states_in_words() -> None:
    assert kmeans_client.state_name(job_pb2.Job(state="JOB_STATE_SUCCEEDED")) == "succeeded"
    assert kmeans_client.state_name(task_pb2.Task(state="TASK_STATE_DONE")) == "done"


@pytest.mark.parametrize("state", job_pb2.JobState.keys()[1:])
def test_which_jobs_have_ended(state: str) -> None:
    ended = state.removeprefix("JOB_STATE_") in {"SUCCEEDED", "FAILED", "CANCELLED"}
    assert kmeans_client.has_ended(job_pb2.Job(state=state)) is ended
