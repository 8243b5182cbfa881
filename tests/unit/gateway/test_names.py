"""Resource names and request ids."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.covariance import Covariance
from services.core.errors import FieldViolation, InvalidInput
from services.core.tasks import TaskKey
from services.gateway import names

IDS = st.from_regex(r"\A[0-9a-f]{16}\Z")
KEYS = st.builds(TaskKey, IDS, st.integers(0, 99), st.integers(1, 50), st.sampled_from(list(Covariance)))


@given(IDS)
def test_dataset_and_job_names_are_read_as_they_are_written(id_: str) -> None:
    assert names.parse_dataset(names.dataset_name(id_)) == id_
    assert names.parse_job(names.job_name(id_)) == id_
    assert names.parse_job_or_task(names.job_name(id_)) == id_


@given(KEYS)
def test_task_names_are_read_as_they_are_written(key: TaskKey) -> None:
    assert names.parse_task(names.task_name(key)) == key
    assert names.parse_job_or_task(names.task_name(key)) == key


@pytest.mark.parametrize(
    "name",
    [
        "",
        "jobs",
        "jobs/",
        "jobs/a/",
        "Jobs/a",
        "datasets/a",
        "jobs/../a",
        "jobs/a\n",
        "jobs/ä",
        "jobs/" + "a" * 65,
    ],
)
def test_what_is_not_a_job_name_is_refused_by_field(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        names.parse_job(name, "parent")
    assert [violation.field for violation in refused.value.violations] == ["parent"]
    assert refused.value.reason == "BAD_NAME"
    assert "jobs/{job}" in refused.value.message


@pytest.mark.parametrize(
    "task",
    [
        "",
        "0-3-full-untied@0+32",
        "0-3",
        "0-3-full",
        "00-3-full-untied",
        "0-+3-full-untied",
        "0-3-full-untied ",
        "1000-3-full-tied",
        "0-٣-full-untied",
        "0-3-FULL-UNTIED",
        "9" * 5000 + "-3-full-untied",
    ],
)
def test_a_task_has_one_spelling(task: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        names.parse_task(f"jobs/a1/tasks/{task}")
    assert len(refused.value.message) < 300


@given(st.text(max_size=200))
def test_any_text_is_a_name_or_a_clear_refusal(text: str) -> None:
    for parse in (names.parse_dataset, names.parse_job, names.parse_task, names.parse_request_id):
        violations = [FieldViolation("", "")]
        try:
            parse(text)
        except InvalidInput as error:
            violations = list(error.violations)
        assert len(violations) == 1


def test_request_ids_have_one_spelling() -> None:
    request_id = uuid.uuid4()
    assert names.parse_request_id(str(request_id).upper()) == str(request_id)
    assert names.parse_request_id("") == ""
    with pytest.raises(InvalidInput) as refused:
        names.parse_request_id("mine", "header.request_id")
    assert refused.value.violations[0].field == "header.request_id"


def test_new_ids_are_names() -> None:
    ids = {names.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(names.parse_dataset(names.dataset_name(id_)) == id_ for id_ in ids)
