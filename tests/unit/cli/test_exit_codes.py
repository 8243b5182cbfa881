"""Every error ends the program with the exit code that the docs promise."""

from __future__ import annotations

import grpc
import pytest

from kmeans_client import KMeansError, Unreachable
from services.cli.exit_codes import failure
from services.core.errors import HomeInUse, InvalidInput

CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: 2,
    grpc.StatusCode.NOT_FOUND: 2,
    grpc.StatusCode.ALREADY_EXISTS: 2,
    grpc.StatusCode.FAILED_PRECONDITION: 2,
    grpc.StatusCode.OUT_OF_RANGE: 2,
    grpc.StatusCode.PERMISSION_DENIED: 2,
    grpc.StatusCode.UNAUTHENTICATED: 2,
    grpc.StatusCode.UNAVAILABLE: 3,
    grpc.StatusCode.ABORTED: 1,
    grpc.StatusCode.CANCELLED: 1,
    grpc.StatusCode.DATA_LOSS: 1,
    grpc.StatusCode.DEADLINE_EXCEEDED: 1,
    grpc.StatusCode.INTERNAL: 1,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 1,
    grpc.StatusCode.UNIMPLEMENTED: 1,
    grpc.StatusCode.UNKNOWN: 1,
}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_an_answer_of_the_service(code: grpc.StatusCode) -> None:
    assert failure(KMeansError(code, "REASON", "A sentence.")) == ("A sentence.", CODES[code])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KMeansError(grpc.StatusCode.RESOURCE_EXHAUSTED, "UPLOAD_TOO_LARGE", "Too large."), 2),
        (Unreachable(grpc.StatusCode.UNAVAILABLE, "UNREACHABLE", "Nobody."), 3),
        (InvalidInput("Wrong."), 2),
        (HomeInUse("In use."), 3),
        (OSError(28, "No space left on device", "out.csv"), 1),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), 2),
    ],
)
def test_an_error_of_our_own(error: Exception, code: int) -> None:
    told = failure(error)
    assert told is not None
    assert told[1] == code
    assert told[0].endswith(".")


def test_a_mistake_of_the_program_is_not_hidden() -> None:
    assert failure(RuntimeError("a bug")) is None
