"""`kmeans-service fit`: the main job, from a file to a recommendation."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import grpc
import typer
from kmeans.v1 import dataset_pb2, job_pb2
from rich.console import Console

from kmeans_client import MAX_RESUMES, Client, KMeansError
from services.cli import options
from services.cli.connection import Connection, connect_or_embed
from services.cli.consoles import consoles
from services.cli.files import check_readable, check_writable
from services.cli.labels import write_labelled_table
from services.cli.progress import follow
from services.cli.render import json_report, print_recommendation
from services.cli.report_file import write_report
from services.cli.requests import job_spec
from services.cli.signals import Interrupted

__all__ = ["fit"]

# Names of uploads made from content, so that the same file again is the same dataset.
_UPLOADS = uuid.UUID("6ba2f3d8-6a39-5f1c-9a43-0c1d0b6e7f52")
# A service that belongs to another command ends with it. Each time, one of those that wait goes on with the
# home, so many may wait their turn.
_MAX_TAKEOVERS = 100
_GONE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


@dataclass(frozen=True, slots=True)
class Outputs:
    """Files to write once the job has ended."""

    labels: Path | None
    report: Path | None


def fit(
    file: options.FileArgument,
    columns: options.ColumnsOption = None,
    max_k: options.MaxKOption = 10,
    experiments: options.ExperimentsOption = 10,
    n_init: options.NInitOption = 10,
    covariances: options.CovariancesOption = None,
    assignment: options.AssignmentOption = options.Assignment.LIKELIHOOD,
    no_scale: options.NoScaleOption = False,
    min_members: options.MinMembersOption = options.DEFAULT_MIN_MEMBERS,
    seed: options.SeedOption = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, max=256, help="Fits at once in the embedded service; default: every core."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="OUT.csv", help="Write the rows with the label of each."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="OUT.html", help="Write the report with its plots, as one file."),
    ] = None,
    as_json: options.JsonOption = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="HOST:PORT",
            envvar="KMEANS_GATEWAY",
            help="Use a running service; without it, one is started in this process.",
        ),
    ] = None,
) -> None:
    """Find the best clustering of a table: which K, which covariance model, which labels.

    An interrupted job is kept. The same command again takes it up where it stopped.
    """
    if target and workers is not None:
        raise typer.BadParameter(
            "applies to the embedded service only, not to --target.", param_hint="--workers"
        )
    check_readable(file)
    for output in (labels, report):
        if output is not None:
            check_writable(output, read=file)
    outputs = Outputs(labels, report)
    wanted = options.JobOptions(
        columns=options.parse_columns(columns),
        max_k=max_k,
        experiments=experiments,
        n_init=n_init,
        covariances=options.parse_covariances(covariances),
        assignment=assignment,
        scale=not no_scale,
        seed=seed,
    )
    takeovers = 0
    while True:
        with connect_or_embed(target, workers) as connection:
            try:
                state = _fit(connection, file, wanted, min_members, outputs, as_json)
                break
            except KMeansError as error:
                takeovers += 1
                gone = connection.is_attached and error.code in _GONE
                if not gone or takeovers > _MAX_TAKEOVERS:
                    raise
    if state != job_pb2.JOB_STATE_SUCCEEDED:
        raise typer.Exit(1)


def _fit(
    connection: Connection,
    file: Path,
    wanted: options.JobOptions,
    min_members: int,
    outputs: Outputs,
    as_json: bool,
) -> job_pb2.JobState:
    out, err = consoles()
    client = connection.client
    dataset = _upload(client, file)
    job = _resume_or_create(client, dataset, wanted, err)
    try:
        resumes = 0 if connection.is_attached else MAX_RESUMES
        steps = client.watch_job(job.name, job_only=True, max_resumes=resumes)
        job = follow(steps, err, quiet=as_json and not err.is_terminal)
    except Interrupted:
        err.print(
            f"Interrupted. {job.name} is kept; run the same command again to go on with it. "
            "(Ctrl-C again does not wait for the fits under way.)",
            highlight=False,
        )
        raise
    report = client.get_report(job.name, min_members)
    if as_json:
        json.dump(json_report(job, report, client.list_tasks(job.name)), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        print_recommendation(out, job, report)
    if job.failure:
        err.print(f"The job failed: {job.failure}", highlight=False, markup=False)
    if outputs.labels is not None:
        if report.HasField("best"):
            write_labelled_table(client, report.best.task, outputs.labels)
            text = f"Labels of {report.best.task} written to {outputs.labels}"
        else:
            text = f"No labels written to {outputs.labels}: no fit qualifies."
        err.print(text, highlight=False, markup=False)
    if outputs.report is not None:
        write_report(client, job.name, min_members, outputs.report)
        err.print(f"Report written to {outputs.report}", highlight=False, markup=False)
    return job.state


def _upload(client: Client, file: Path) -> dataset_pb2.Dataset:
    with file.open("rb") as source:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    # A file's name may be any bytes, a display name is text.
    name = os.fsencode(file.name).decode("utf-8", "replace")
    request_id = str(uuid.uuid5(_UPLOADS, f"{sha256}/{name}"))
    return client.upload_dataset(file, display_name=name, request_id=request_id, sha256=sha256)


def _resume_or_create(
    client: Client, dataset: dataset_pb2.Dataset, wanted: options.JobOptions, err: Console
) -> job_pb2.Job:
    spec = job_spec(dataset.name, wanted)
    planned = client.create_job(spec, validate_only=True).job
    unfinished = client.list_jobs(
        states=(job_pb2.JOB_STATE_PENDING, job_pb2.JOB_STATE_RUNNING), dataset=dataset.name
    )
    for job in unfinished:
        if job.spec == planned.spec:
            err.print(f"Going on with {job.name}, which asks the same and has not ended.", highlight=False)
            return job
    return client.create_job(spec, display_name=dataset.display_name).job
