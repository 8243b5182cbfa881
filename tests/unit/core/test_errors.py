from __future__ import annotations

import re
from dataclasses import fields

import pytest

from services.core import errors
from services.core.errors import FieldViolation, InvalidInput, NotFound, ServiceError, Unavailable

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, ServiceError) and value is not ServiceError
]


def test_every_error_is_public_and_drawn_in_the_tree() -> None:
    for error in CLASSES:
        assert error.__name__ in errors.__all__
        assert re.search(rf"[├└]── {error.__name__}\b", errors.__doc__ or "")


@pytest.mark.parametrize("error", CLASSES)
def test_reason_is_given_by_default_or_by_the_raiser(error: type[ServiceError]) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+", error("x").reason)
    assert error("x").reason != "INTERNAL"
    assert error("x", "OTHER_REASON").reason == "OTHER_REASON"


@pytest.mark.parametrize("error", CLASSES)
def test_error_reads_as_its_sentence(error: type[ServiceError]) -> None:
    assert str(error("There is none.")) == "There is none."
    assert error("There is none.").args == ("There is none.",)


@pytest.mark.parametrize("error", CLASSES)
def test_only_what_is_unavailable_is_worth_a_retry(error: type[ServiceError]) -> None:
    assert error.retryable is issubclass(error, Unavailable)


def test_errors_carry_facts_and_violations() -> None:
    assert NotFound("x", metadata={"job": "jobs/a"}).metadata == {"job": "jobs/a"}
    violation = FieldViolation("max_k", "too large")
    assert InvalidInput("x", violations=[violation]).violations == [violation]
    assert {field.name for field in fields(InvalidInput)} == {"message", "reason", "metadata", "violations"}


def test_equal_errors_are_different_occurrences() -> None:
    assert NotFound("x") != NotFound("x")
    assert len({NotFound("x"), NotFound("x")}) == 2
