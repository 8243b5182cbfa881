"""What the command line prints: recommendations and listings, as text for people or JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kmeans.v1 import job_pb2, report_pb2, task_pb2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kmeans_client import covariance_name, state_name

__all__ = ["json_report", "print_jobs", "print_recommendation"]

_SHOWN_SIZES = 12

# What to do about a warning, in the options of this program.
_HINTS = {
    report_pb2.ReportWarning.CODE_BEST_AT_EDGE: "Run again with a higher --max-k.",
}


def print_recommendation(console: Console, job: job_pb2.Job, report: report_pb2.Report) -> None:
    """The best K per covariance, the best overall in bold and marked, its sizes, and the warnings."""
    columns = ", ".join(job.spec.columns)
    console.print(
        f"{job.display_name}: {job.row_count:,} rows, d = {len(job.spec.columns)} ({columns}), "
        f"{_fitted(job)} in {_seconds(job):.1f} s",
        markup=False,
        highlight=False,
    )
    if not report.complete:
        console.print("The job has not ended; this is what is known so far.")
    console.print(_recommendation_table(report))
    for entry in report.covariances:
        if entry.note:
            text = f"{covariance_name(entry.covariance)}: {entry.note}"
            console.print(Text(text, style="dim"), highlight=False)
    if report.HasField("best"):
        best = report.best
        console.print(
            Text.assemble(
                "Best: ",
                (f"K = {best.k}, {covariance_name(best.covariance)}", "bold"),
                f" (BIC {best.result.bic:,.2f}), cluster sizes {_sizes(best.result.counts)}",
            ),
            highlight=False,
        )
    for warning in report.warnings:
        hint = _HINTS.get(warning.code, "")
        console.print(Text(f"{warning.text} {hint}".rstrip(), style="yellow"), highlight=False)


def _fitted(job: job_pb2.Job) -> str:
    """Tasks that were fitted, and of how many where that is not all of them."""
    counts = job.task_counts
    fitted = counts.done + counts.degenerate
    return f"{fitted:,} tasks" if fitted == counts.total else f"{fitted:,} of {counts.total:,} tasks"


def _seconds(job: job_pb2.Job) -> float:
    """From the job's creation to its end; 0 while it runs."""
    if not job.HasField("end_time"):
        return 0.0
    return (job.end_time.ToMicroseconds() - job.create_time.ToMicroseconds()) / 1e6


def _recommendation_table(report: report_pb2.Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    table.add_column("covariance")
    for name in ("best K", "BIC", "AIC", "log-likelihood"):
        table.add_column(name, justify="right")
    table.add_column("smallest cluster", justify="right")
    for entry in report.covariances:
        name = covariance_name(entry.covariance)
        if not entry.HasField("best"):
            table.add_row("", name, *"-----", style="dim")
            continue
        task, result = entry.best, entry.best.result
        is_best = report.HasField("best") and task.task == report.best.task
        table.add_row(
            "*" if is_best else "",
            name,
            f"{task.k}{' (edge)' if task.at_edge else ''}",
            f"{result.bic:,.2f}",
            f"{result.aic:,.2f}",
            f"{result.log_likelihood:,.2f}",
            f"{min(result.counts):,}",
            style="bold" if is_best else "",
        )
    return table


def _sizes(counts: Sequence[int]) -> str:
    shown = ", ".join(f"{count:,}" for count in counts[:_SHOWN_SIZES])
    more = len(counts) - _SHOWN_SIZES
    return f"{shown} and {more} smaller" if more > 0 else shown


def print_jobs(console: Console, jobs: Iterable[job_pb2.Job]) -> int:
    """One line per job; returns how many there were."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("job", "state", "tasks", "created", "dataset", "title"):
        table.add_column(name, overflow="fold")
    count = 0
    for job in jobs:
        count += 1
        counts = job.task_counts
        ended = counts.done + counts.degenerate + counts.error + counts.cancelled
        table.add_row(
            job.name,
            state_name(job),
            f"{ended:,}/{counts.total:,}",
            job.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
            job.spec.dataset,
            Text(job.display_name),
        )
    console.print(table)
    return count


def json_report(
    job: job_pb2.Job,
    report: report_pb2.Report,
    tasks: Iterable[task_pb2.Task],
) -> dict[str, Any]:
    """The one object that `--json` prints; scores are natural logarithms, higher is better."""
    return {
        "job": job.name,
        "n": job.row_count,
        "d": len(job.spec.columns),
        "columns": list(job.spec.columns),
        "n_tasks": job.task_counts.total,
        "seconds": round(_seconds(job), 3),
        "best": _json_task(report.best) if report.HasField("best") else None,
        "recommended": [_json_task(entry.best) for entry in report.covariances if entry.HasField("best")],
        "scores": [
            {
                "k": task.k,
                "covariance": covariance_name(task.covariance),
                "experiment": task.experiment,
                "bic": task.result.bic if task.HasField("result") else None,
                "aic": task.result.aic if task.HasField("result") else None,
                "state": state_name(task),
            }
            for task in tasks
        ],
        "warnings": [warning.text for warning in report.warnings],
    }


def _json_task(recommendation: report_pb2.Recommendation) -> dict[str, Any]:
    result = recommendation.result
    return {
        "k": recommendation.k,
        "covariance": covariance_name(recommendation.covariance),
        "bic": result.bic,
        "aic": result.aic,
        "log_likelihood": result.log_likelihood,
        "counts": list(result.counts),
        "task": recommendation.task,
    }
