"""The commands of `kmeans-service`."""

from __future__ import annotations

import typer

from services.cli import dataset_commands, job_commands
from services.cli.fit import fit
from services.cli.gateway import gateway
from services.cli.labels import labels
from services.cli.models import export, predict
from services.cli.scheduler import scheduler
from services.cli.token import token
from services.cli.ui import ui
from services.cli.up import up
from services.cli.worker import worker

__all__ = ["app"]

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
app.command()(ui)
app.command()(dataset_commands.upload)
app.command()(job_commands.submit)
app.command()(job_commands.jobs)
app.command()(job_commands.watch)
app.command()(job_commands.report)
app.command()(labels)
app.command()(predict)
app.command()(export)
app.command()(job_commands.cancel)
app.command()(job_commands.retry)
app.command()(token)
