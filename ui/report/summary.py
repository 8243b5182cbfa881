"""What a report says in words and tables: the same in the dashboard and in the HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kmeans.v1 import job_pb2, report_pb2, task_pb2

from kmeans_client import covariance_name
from ui.report.material import GRID
from ui.report.notes import kind_note
from ui.report.wording import counted, number, share

__all__ = ["Card", "cards", "center_table", "headline", "next_max_k", "plain_words", "subheadline"]

_MAX_K = 50


@dataclass(frozen=True, slots=True)
class Card:
    """What one covariance model recommends.

    Attributes:
        covariance: such as `full-untied`.
        asked: whether the job fits it at all.
        task: of the recommended fit; empty when there is none.
        k: of the recommended fit, or 0.
        bic: of the recommended fit, formatted.
        behind: how far its BIC is from the best one, in words; empty for the best.
        smallest: rows of its smallest cluster, formatted.
        note: why there is no recommended fit; else empty.
        is_best: whether it is the best overall.
        at_edge: whether its K is the largest that was tried.
    """

    covariance: str
    asked: bool
    task: str = ""
    k: int = 0
    bic: str = ""
    behind: str = ""
    smallest: str = ""
    note: str = ""
    is_best: bool = False
    at_edge: bool = False


def cards(report: report_pb2.Report) -> list[Card]:
    """Six cards in the order of `material.GRID`, whatever the job fits."""
    entries = {covariance_name(entry.covariance): entry for entry in report.covariances}
    return [_card(report, name, entries.get(name)) for name in GRID]


def _card(report: report_pb2.Report, name: str, entry: report_pb2.CovarianceReport | None) -> Card:
    if entry is None:
        return Card(name, asked=False, note="Not part of this job.")
    if not entry.HasField("best"):
        return Card(name, asked=True, note=kind_note(entry, report.min_members))
    best = entry.best
    is_best = best.task == report.best.task
    return Card(
        covariance=name,
        asked=True,
        task=best.task,
        k=best.k,
        bic=f"{best.result.bic:,.1f}".replace("-", "−"),
        behind="" if is_best else _behind(report.best.result.bic - best.result.bic),
        smallest=f"{min(best.result.counts):,}",
        is_best=is_best,
        at_edge=best.at_edge,
    )


def _behind(difference: float) -> str:
    # As many decimals as the score that stands beside it.
    return f"{difference:,.1f} below the best" if difference >= 0.05 else "as high as the best"


def headline(report: report_pb2.Report) -> str:
    """The answer in a few words."""
    if not report.HasField("best"):
        if not report.complete:
            return "No recommendation yet"
        return f"No fit has clusters of at least {report.min_members:,} members"
    clusters = counted(report.best.k, "cluster")
    return f"{clusters}, {covariance_name(report.best.covariance)}"


# The rest of "full-untied means ...".
_MEANS = {
    "full-tied": "ellipses in any direction, one shape for all",
    "diag-tied": "ellipses along the axes, one shape for all",
    "spher-tied": "round groups, all of one size",
    "full-untied": "ellipses in any direction, each of its own shape",
    "diag-untied": "ellipses along the axes, each of its own shape",
    "spher-untied": "round groups, each of its own size",
}


def plain_words(job: job_pb2.Job, report: report_pb2.Report) -> str:
    """The answer for a reader who knows none of our words; what to do where there is none."""
    if not report.HasField("best"):
        if not report.complete:
            return "Tasks appear here as they end."
        return "Ask for smaller clusters, or try fewer columns, a smaller K or more rows."
    rows = counted(job.row_count, "row")
    if report.best.k == 1:
        return f"Your {rows} are best described as a single group."
    sizes = sorted(report.best.result.counts)
    name = covariance_name(report.best.covariance)
    scaled = " in scaled data" if job.spec.scale and name.startswith("spher") else ""
    each = f"{sizes[0]:,} rows each" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,} rows"
    return (
        f"Your {rows} fall into {counted(report.best.k, 'group')} of {each}; "
        f"{name} means {_MEANS[name]}{scaled}."
    )


def subheadline(job: job_pb2.Job, report: report_pb2.Report) -> str:
    """What the answer rests on, a sentence or two."""
    rows, columns = f"{job.row_count:,} rows", counted(len(job.spec.columns), "column")
    counts = job.task_counts
    fitted = f"{counts.done + counts.degenerate:,} of {counts.total:,} tasks"
    basis = f"{rows}, {columns}, {fitted}"
    if not report.HasField("best"):
        return f"{basis}."
    tentative = "" if report.complete else " The job has not ended: this may change."
    return (
        f"{basis}. Of all tasks whose every cluster has at least {report.min_members:,} rows, this one has "
        f"the highest BIC, {report.best.result.bic:,.1f}.".replace("-", "−")
        + tentative
    )


def center_table(task: task_pb2.Task, columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Titles, and a row per cluster: its size, center ± standard deviation of each column in original units.

    Titles may occur twice: nothing keeps a user from calling a column Cluster, Rows or Share.
    """
    rows = [
        [
            str(cluster.label),
            f"{cluster.count:,}",
            share(cluster.weight),
            *(
                f"{number(center)} ± {number(spread)}"
                for center, spread in zip(cluster.center, cluster.standard_deviation, strict=True)
            ),
        ]
        for cluster in task.clusters
    ]
    return ["Cluster", "Rows", "Share", *columns], rows


def next_max_k(spec: job_pb2.JobSpec) -> int:
    """The K to try up to when the best was at the edge: half as many again, five at least, 50 at most."""
    return min(_MAX_K, max(spec.max_k + 5, spec.max_k * 3 // 2))
