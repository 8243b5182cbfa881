"""Everything a report shows of one job, gathered from the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from kmeans.v1 import dataset_pb2, job_pb2, report_pb2, task_pb2
from numpy.typing import NDArray

from kmeans_client import Client, covariance_name
from ui.report.matching import matched
from ui.report.notes import kind_note
from ui.report.panels import Panel
from ui.report.profiles import differences, most_distinctive
from ui.report.sample import Sample, map_columns, sample_labels, sample_rows

__all__ = ["GRID", "Material", "deviations", "gather", "panels"]

# Two rows of three: tied above untied, full to spherical.
GRID = ("full-tied", "diag-tied", "spher-tied", "full-untied", "diag-untied", "spher-untied")


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """One job and what it found.

    Attributes:
        job: with its spec filled in.
        dataset: what it clustered.
        report: what it recommends.
        tasks: the recommended tasks with their clusters, by name.
        sample: rows for plots: the job's columns, longitude and latitude.
        labels: (r,) of the sampled rows under each of `tasks`, by its name.
        correlation: of the dataset's numeric columns.
        agreement: of the experiments; None when no fit qualifies.
    """

    job: job_pb2.Job
    dataset: dataset_pb2.Dataset
    report: report_pb2.Report
    tasks: Mapping[str, task_pb2.Task]
    sample: Sample
    labels: Mapping[str, NDArray[np.int64]]
    correlation: dataset_pb2.Correlation
    agreement: report_pb2.Agreement | None

    @property
    def best(self) -> task_pb2.Task | None:
        """The best task overall; None when no fit qualifies."""
        return self.tasks[self.report.best.task] if self.report.HasField("best") else None

    def distinctive_columns(self) -> list[str]:
        """The job's columns, the one that tells the best task's clusters apart best first."""
        columns = list(self.job.spec.columns)
        if self.best is None or not self.best.clusters:
            return columns
        found = differences(self.best.clusters, deviations(self.dataset, columns))
        order = most_distinctive(found, [cluster.count for cluster in self.best.clusters])
        return [columns[place] for place in order]


def gather(client: Client, job_name: str, min_members: int | None = None) -> Material:
    """Ask the service for all that a report shows.

    Raises:
        KMeansError: the service refuses, or does not answer.
    """
    job = client.get_job(job_name)
    dataset = client.get_dataset(job.spec.dataset)
    report = client.get_report(job_name, min_members)
    recommended = [entry.best.task for entry in report.covariances if entry.HasField("best")]
    sample = sample_rows(
        client, dataset.name, list(dict.fromkeys([*job.spec.columns, *(map_columns(dataset) or ())]))
    )
    return Material(
        job=job,
        dataset=dataset,
        report=report,
        tasks={name: client.get_task(name) for name in recommended},
        sample=sample,
        labels={name: sample_labels(client, name, sample) for name in recommended},
        correlation=client.get_correlation(dataset.name),
        agreement=client.get_agreement(job_name, min_members) if report.HasField("best") else None,
    )


def deviations(dataset: dataset_pb2.Dataset, columns: Sequence[str]) -> list[float]:
    """Population standard deviations of these columns, over all rows of the dataset."""
    known = {column.name: column.statistics.standard_deviation for column in dataset.columns}
    return [known[name] for name in columns]


def panels(
    report: report_pb2.Report,
    columns: list[str],
    tasks: Mapping[str, task_pb2.Task],
    labels: Mapping[str, NDArray[np.int64]],
) -> list[Panel]:
    """One panel per covariance of the job in the order of GRID; with a note where no fit qualifies.

    Clusters look like those of the best fit with which they share most rows.
    """
    entries = {covariance_name(entry.covariance): entry for entry in report.covariances}
    best = report.best.task if report.HasField("best") else ""
    n_best = report.best.k if best else 0
    drawn = []
    for name in GRID:
        entry = entries.get(name)
        if entry is None:
            continue
        if not entry.HasField("best"):
            drawn.append(Panel(name, columns=columns, note=kind_note(entry, report.min_members)))
            continue
        task = entry.best.task
        drawn.append(
            Panel(
                title=f"{name}, K = {entry.best.k}",
                labels=labels[task],
                clusters=tasks[task].clusters,
                columns=columns,
                is_best=task == best,
                places=matched(labels[task], labels[best], entry.best.k, n_best),
                n_best=n_best,
            )
        )
    return drawn
