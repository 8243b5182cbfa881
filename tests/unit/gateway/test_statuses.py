"""The table of error codes, and what travels in a status."""

from __future__ import annotations

import base64
from typing import TypeVar
from urllib.parse import quote

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import (
    Conflict,
    FieldViolation,
    InvalidInput,
    InvalidTable,
    NotFound,
    ServiceError,
    StoreUnavailable,
)
from services.gateway.statuses import CODES, DOMAIN, code_of, status_of

TRAILERS_BYTES = 8192
M = TypeVar("M", bound=Message)


def tree(root: type[ServiceError]) -> set[type[ServiceError]]:
    # Classes that other tests define do not count, nor do those of the command line: they meet no caller.
    ours = {
        child
        for child in root.__subclasses__()
        if child.__module__.startswith("services.") and not child.__module__.startswith("services.cli.")
    }
    return {root}.union(*map(tree, ours))


def detail(status: status_pb2.Status, kind: type[M]) -> M | None:
    for packed in status.details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


def test_every_class_of_the_tree_has_a_row_and_every_row_a_class() -> None:
    assert set(CODES) == tree(ServiceError)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidTable("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (NotFound("x"), grpc.StatusCode.NOT_FOUND),
        (Conflict("x"), grpc.StatusCode.ALREADY_EXISTS),
        (StoreUnavailable("x"), grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_code_of_an_error(error: ServiceError, code: grpc.StatusCode) -> None:
    assert code_of(error) is code


def test_a_subclass_without_a_row_has_the_code_of_its_nearest_ancestor() -> None:
    class Stranger(InvalidTable):
        pass

    assert code_of(Stranger("x")) is grpc.StatusCode.INVALID_ARGUMENT


def test_error_info_carries_domain_reason_and_metadata() -> None:
    status = status_of(NotFound("There is none.", "JOB_NOT_FOUND", {"job": "jobs/a"}))
    info = detail(status, error_details_pb2.ErrorInfo)
    assert info is not None
    assert (info.domain, info.reason, dict(info.metadata)) == (DOMAIN, "JOB_NOT_FOUND", {"job": "jobs/a"})
    assert status.message == "There is none."
    assert detail(status, error_details_pb2.BadRequest) is None
    assert detail(status, error_details_pb2.RetryInfo) is None


def test_bad_request_names_every_field() -> None:
    violations = (FieldViolation("spec.max_k", "too large"), FieldViolation("spec.seed", "negative"))
    bad_request = detail(status_of(InvalidInput("no", violations=violations)), error_details_pb2.BadRequest)
    assert bad_request is not None
    found = [(one.field, one.description) for one in bad_request.field_violations]
    assert found == [("spec.max_k", "too large"), ("spec.seed", "negative")]


def test_unavailable_says_when_to_try_again() -> None:
    retry = detail(status_of(StoreUnavailable("down")), error_details_pb2.RetryInfo)
    assert retry is not None
    assert retry.retry_delay.seconds == 1


@given(
    st.text(max_size=6000),
    st.lists(st.tuples(st.text(max_size=100), st.text(max_size=3000)), max_size=300),
)
def test_a_status_always_fits_into_the_trailers(message: str, violations: list[tuple[str, str]]) -> None:
    error = InvalidInput(message, violations=tuple(FieldViolation(*pair) for pair in violations))
    status = status_of(error)
    encoded = len(quote(status.message)) + len(base64.b64encode(status.SerializeToString()))
    assert encoded < TRAILERS_BYTES - 512
    assert status.message == message or message.startswith(status.message.removesuffix(" …"))
