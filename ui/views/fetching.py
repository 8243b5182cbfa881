"""What the views of a job ask the service for, kept for a while so that a page is quick to come back to.

What a job found is kept by the job's revision: it changes with it and with nothing else. Labels are kept by
the task: one that is done is never another. What is kept is bounded in number and in time, and shared by the
sessions of this process, which all speak with one client.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import islice

import numpy as np
import streamlit as st
from kmeans.v1 import dataset_pb2, job_pb2, job_service_pb2, report_pb2, task_pb2
from numpy.typing import NDArray

from kmeans_client import Client
from ui.report.agreement import best_ks
from ui.report.html import render
from ui.report.matching import matched
from ui.report.material import gather
from ui.report.sample import Sample, sample_labels, sample_rows

__all__ = [
    "agreement",
    "correlation",
    "dataset",
    "experiment_ks",
    "html_file",
    "label_file",
    "labels",
    "model_file",
    "onnx_file",
    "places",
    "report",
    "sample",
    "task",
]

_TTL_SECONDS = 900
_MAX_TASKS_LOOKED_AT = 2_000


def report(client: Client, job: job_pb2.Job, min_members: int) -> report_pb2.Report:
    """What a job recommends as of this revision."""
    return _report(client, client.target, job.name, job.revision, min_members)


def task(client: Client, job: job_pb2.Job, name: str) -> task_pb2.Task:
    """A task with its clusters as of this revision."""
    return _task(client, client.target, job.revision, name)


def agreement(client: Client, job: job_pb2.Job, min_members: int) -> report_pb2.Agreement:
    """How far the experiments agree with the best task."""
    return _agreement(client, client.target, job.name, job.revision, min_members)


def dataset(client: Client, job: job_pb2.Job) -> dataset_pb2.Dataset:
    """The dataset of a job."""
    return _dataset(client, client.target, job.spec.dataset)


def correlation(client: Client, job: job_pb2.Job) -> dataset_pb2.Correlation:
    """Correlations of the dataset of a job."""
    return _correlation(client, client.target, job.spec.dataset)


def sample(client: Client, job: job_pb2.Job, columns: Sequence[str]) -> Sample:
    """Rows of the dataset of a job for plots; the same rows for any columns."""
    return _sample(client, client.target, job.spec.dataset, tuple(dict.fromkeys(columns)))


def labels(client: Client, job: job_pb2.Job, name: str, rows: Sample) -> NDArray[np.int64]:
    """Labels of the sampled rows under a task."""
    return _labels(client, client.target, job.spec.dataset, name, rows)


def places(
    client: Client, job: job_pb2.Job, task: task_pb2.Task, best: report_pb2.Recommendation | None
) -> list[int]:
    """For each cluster of a task the one of the best task whose look it has; empty for its own."""
    if best is None or task.name == best.task or not task.clusters:
        return []
    rows = sample(client, job, list(job.spec.columns)[:1])
    mine, its = labels(client, job, task.name, rows), labels(client, job, best.task, rows)
    return matched(mine, its, task.k, best.k)


def experiment_ks(client: Client, job: job_pb2.Job, min_members: int) -> list[int]:
    """The K of the best task of each experiment, empty where it takes too many tasks to tell."""
    return _experiment_ks(client, client.target, job.name, job.revision, job.spec.n_experiments, min_members)


def label_file(client: Client, name: str) -> BytesIO:
    """The dataset's rows with their labels under a task, as CSV; asked for when it is downloaded."""
    # Not joined of pieces: the file may have a gigabyte, and Streamlit takes this buffer without a copy.
    file = BytesIO()
    for piece in client.export_labels(name):
        file.write(piece)
    return file


def model_file(client: Client, name: str) -> bytes:
    """A task's model as JSON."""
    return b"".join(client.export_model(name))


def onnx_file(client: Client, name: str) -> bytes:
    """A task's model as ONNX."""
    return b"".join(client.export_model(name, job_service_pb2.MODEL_FORMAT_ONNX))


def html_file(client: Client, job: str, min_members: int) -> bytes:
    """The whole report as one HTML file."""
    return render(gather(client, job, min_members)).encode()


@st.cache_data(max_entries=64, ttl=_TTL_SECONDS, show_spinner=False)
def _report(_client: Client, target: str, job: str, revision: int, min_members: int) -> report_pb2.Report:
    return _client.get_report(job, min_members)


@st.cache_data(max_entries=256, ttl=_TTL_SECONDS, show_spinner=False)
def _task(_client: Client, target: str, revision: int, name: str) -> task_pb2.Task:
    return _client.get_task(name)


@st.cache_data(max_entries=64, ttl=_TTL_SECONDS, show_spinner=False)
def _agreement(
    _client: Client, target: str, job: str, revision: int, min_members: int
) -> report_pb2.Agreement:
    return _client.get_agreement(job, min_members)


@st.cache_data(max_entries=64, ttl=_TTL_SECONDS, show_spinner=False)
def _experiment_ks(
    _client: Client, target: str, job: str, revision: int, n_experiments: int, min_members: int
) -> list[int]:
    best_first = islice(_client.list_tasks(job, best_first=True), _MAX_TASKS_LOOKED_AT)
    found = best_ks(best_first, n_experiments, min_members)
    return found if len(found) == n_experiments else []


@st.cache_data(max_entries=64, ttl=_TTL_SECONDS, show_spinner=False)
def _dataset(_client: Client, target: str, name: str) -> dataset_pb2.Dataset:
    return _client.get_dataset(name)


@st.cache_data(max_entries=32, ttl=_TTL_SECONDS, show_spinner=False)
def _correlation(_client: Client, target: str, name: str) -> dataset_pb2.Correlation:
    return _client.get_correlation(name)


@st.cache_data(max_entries=32, ttl=_TTL_SECONDS, show_spinner=False)
def _sample(_client: Client, target: str, name: str, columns: tuple[str, ...]) -> Sample:
    return sample_rows(_client, name, columns)


@st.cache_data(max_entries=128, ttl=_TTL_SECONDS, show_spinner=False)
def _labels(_client: Client, target: str, dataset: str, name: str, _rows: Sample) -> NDArray[np.int64]:
    return sample_labels(_client, name, _rows)
