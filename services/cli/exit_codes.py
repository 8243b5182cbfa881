"""What an error means to whoever started the program: a sentence and an exit code."""

from __future__ import annotations

import grpc

from kmeans_client import KMeansError, Unreachable
from services.core.errors import ServiceError, Unavailable

__all__ = ["EXIT_BAD_INPUT", "EXIT_FAILED", "EXIT_UNREACHABLE", "failure"]

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_UNREACHABLE = 3

# The request is wrong, and would be wrong again.
_WRONG_REQUEST = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
}
# RESOURCE_EXHAUSTED is said of a busy service as well; these are said of the input.
_TOO_MUCH = {"UPLOAD_TOO_LARGE"}


def failure(error: Exception) -> tuple[str, int] | None:
    """The sentence and exit code of an error that has one; None for a mistake of the program."""
    if isinstance(error, Unreachable):
        return error.message, EXIT_UNREACHABLE
    if isinstance(error, KMeansError):
        return error.message, _exit_code(error)
    if isinstance(error, ServiceError):
        return error.message, EXIT_UNREACHABLE if isinstance(error, Unavailable) else EXIT_BAD_INPUT
    if isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}.", EXIT_FAILED
    if isinstance(error, UnicodeError):
        return "A name on the command line or in the environment is not valid UTF-8.", EXIT_BAD_INPUT
    return None


def _exit_code(error: KMeansError) -> int:
    if error.reason in _TOO_MUCH or error.code in _WRONG_REQUEST:
        return EXIT_BAD_INPUT
    return EXIT_UNREACHABLE if error.code is grpc.StatusCode.UNAVAILABLE else EXIT_FAILED
