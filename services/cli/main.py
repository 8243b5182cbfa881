"""The console script `kmeans-service`: commands, exit codes and signals."""

from __future__ import annotations

import sys

import grpc
import typer

from kmeans_client import KMeansError, Unreachable
from services.cli import dataset_commands, job_commands
from services.cli.fit import fit
from services.cli.gateway import gateway
from services.cli.labels import labels
from services.cli.logs import configure_logs
from services.cli.scheduler import scheduler
from services.cli.signals import Interrupted, raise_on_signals
from services.cli.up import up
from services.cli.worker import worker
from services.core.errors import ServiceError, Unavailable

__all__ = ["app", "run"]

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_UNREACHABLE = 3

# What the service answers when something inside it broke, rather than when the request is wrong.
_INTERNAL = {grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNKNOWN}

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


def run() -> None:
    """Run the command line; exit 0 done, 1 the job failed, 2 bad input, 3 unreachable."""
    configure_logs("warning", "text")
    raise_on_signals()
    try:
        app()
    except Interrupted as signalled:
        sys.exit(signalled.exit_code)
    except Unreachable as error:
        sys.exit(_complain(error.message, EXIT_UNREACHABLE))
    except KMeansError as error:
        sys.exit(_complain(error.message, EXIT_FAILED if error.code in _INTERNAL else EXIT_BAD_INPUT))
    except ServiceError as error:
        unreachable = isinstance(error, Unavailable)
        sys.exit(_complain(error.message, EXIT_UNREACHABLE if unreachable else EXIT_BAD_INPUT))


def _complain(message: str, code: int) -> int:
    print(f"kmeans-service: {message}", file=sys.stderr)
    return code
