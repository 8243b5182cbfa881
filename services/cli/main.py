"""The commands of `kmeans-service`, and the exit codes of their errors."""

from __future__ import annotations

import grpc
import typer

from kmeans_client import KMeansError, Unreachable
from services.cli import dataset_commands, job_commands
from services.cli.entry import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_UNREACHABLE
from services.cli.fit import fit
from services.cli.gateway import gateway
from services.cli.labels import labels
from services.cli.logs import configure_logs
from services.cli.scheduler import scheduler
from services.cli.up import up
from services.cli.worker import worker
from services.core.errors import ServiceError, Unavailable

__all__ = ["app", "failure"]

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

app = typer.Typer(
    name="kmeans-service",
    help="Finds the best clustering of a table: K-means with Mahalanobis distance, chosen by BIC.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(fit)
app.command()(up)
app.command()(gateway)
app.command()(scheduler)
app.command()(worker)
app.command()(dataset_commands.upload)
app.command()(job_commands.submit)
app.command()(job_commands.jobs)
app.command()(job_commands.watch)
app.command()(job_commands.report)
app.command()(labels)
app.command()(job_commands.cancel)
app.command()(job_commands.retry)


configure_logs("warning", "text")


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
