"""Commands about jobs on a running service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from kmeans.v1 import job_pb2

from kmeans_client import Client, state_name
from services.cli import options
from services.cli.consoles import consoles
from services.cli.files import check_writable
from services.cli.progress import follow
from services.cli.render import json_report, print_jobs, print_recommendation
from services.cli.report_file import write_report
from services.cli.requests import job_spec, resource_name

__all__ = ["cancel", "jobs", "report", "retry", "submit", "watch"]


def submit(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name of a dataset, datasets/ID or ID.")],
    columns: options.ColumnsOption = None,
    max_k: options.MaxKOption = 10,
    experiments: options.ExperimentsOption = 10,
    n_init: options.NInitOption = 10,
    covariances: options.CovariancesOption = None,
    assignment: options.AssignmentOption = options.Assignment.LIKELIHOOD,
    no_scale: options.NoScaleOption = False,
    seed: options.SeedOption = 0,
    target: options.TargetOption = options.DEFAULT_TARGET,
) -> None:
    """Start a job on an uploaded dataset; print its name."""
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
    with Client.from_environment(target) as client:
        created = client.create_job(job_spec(resource_name("datasets", dataset), wanted))
    print(created.job.name)


def jobs(target: options.TargetOption = options.DEFAULT_TARGET) -> None:
    """List jobs, newest first."""
    out, err = consoles()
    with Client.from_environment(target) as client:
        if not print_jobs(out, client.list_jobs()):
            err.print("No jobs yet. Start one with: kmeans-service submit DATASET")


def watch(job: options.JobArgument, target: options.TargetOption = options.DEFAULT_TARGET) -> None:
    """Show a job's progress until it ends; exit 1 unless it succeeded."""
    out, err = consoles()
    with Client.from_environment(target) as client:
        last = follow(client.watch_job(resource_name("jobs", job), job_only=True), err)
    out.print(f"{last.name} {state_name(last)}", highlight=False)
    if last.failure:
        out.print(last.failure, highlight=False, markup=False)
    if last.state != job_pb2.JOB_STATE_SUCCEEDED:
        raise typer.Exit(1)


def report(
    job: options.JobArgument,
    min_members: options.MinMembersOption = options.DEFAULT_MIN_MEMBERS,
    as_json: options.JsonOption = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="OUT.html", help="Write the whole report, plots included, too."),
    ] = None,
    target: options.TargetOption = options.DEFAULT_TARGET,
) -> None:
    """Print what a job recommends, as far as it is known."""
    out, err = consoles()
    if html is not None:
        check_writable(html)
    with Client.from_environment(target) as client:
        found = client.get_job(resource_name("jobs", job))
        known = client.get_report(found.name, min_members)
        if as_json:
            json.dump(json_report(found, known, client.list_tasks(found.name)), sys.stdout, indent=2)
            sys.stdout.write("\n")
        else:
            print_recommendation(out, found, known)
        if html is not None:
            write_report(client, found.name, min_members, html)
            err.print(f"Report written to {html}", highlight=False, markup=False)


def cancel(job: options.JobArgument, target: options.TargetOption = options.DEFAULT_TARGET) -> None:
    """Stop a job; what it has found so far stays."""
    with Client.from_environment(target) as client:
        stopped = client.cancel_job(resource_name("jobs", job))
    print(stopped.name, state_name(stopped))


def retry(
    job: options.JobArgument,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK]...",
            help="Tasks to run again, such as 0-3-full-untied; default: those in error and, of a cancelled "
            "job, the cancelled ones.",
            show_default=False,
        ),
    ] = None,
    target: options.TargetOption = options.DEFAULT_TARGET,
) -> None:
    """Run a job's failed tasks again, or the named ones; a cancelled job goes on."""
    name = resource_name("jobs", job)
    with Client.from_environment(target) as client:
        again = client.retry_job(
            name, [task if "/" in task else f"{name}/tasks/{task}" for task in tasks or ()]
        )
    counts = again.task_counts
    print(f"{again.name} {state_name(again)}: {_to_run(counts)}")


def _to_run(counts: job_pb2.TaskCounts) -> str:
    if not counts.total:
        return "its tasks are planned again"
    return f"{counts.pending + counts.running:,} of {counts.total:,} tasks to run"
