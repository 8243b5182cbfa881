"""The client: one method per RPC, with plain Python arguments."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self, TypeVar

import grpc
from kmeans.v1 import (
    dataset_pb2,
    dataset_service_pb2,
    dataset_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    report_pb2,
    task_pb2,
)

from kmeans_client.channel import open_channel
from kmeans_client.credentials import Credentials
from kmeans_client.errors import KMeansError, Unreachable, translated
from kmeans_client.names import covariance_value
from kmeans_client.predictions import PredictionStream
from kmeans_client.readiness import serves_within
from kmeans_client.uploads import Progress, UploadStream, remaining_bytes
from kmeans_client.watching import MAX_RESUMES, watch

__all__ = ["Client"]

_PAGE_SIZE = 200


class _PageResponse(Protocol):
    next_page_token: str


P = TypeVar("P", bound=_PageResponse)


class Client:
    """A connection to one K-Means Service; safe to share between threads.

    Every method raises KMeansError when the service refuses, and Unreachable (one of them) when nothing
    answers. Calls that are safe to repeat are repeated by gRPC (see `kmeans_client.channel.retry_policy`).
    """

    def __init__(
        self,
        target: str,
        *,
        token: str = "",
        ca: str | PathLike[str] | None = None,
        certificate: str | PathLike[str] | None = None,
        key: str | PathLike[str] | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        """Use the service at HOST:PORT.

        Args:
            target: HOST:PORT.
            token: says who calls, where the service asks for it. Sent in plain text to this machine only.
            ca: PEM file of the authorities the gateway's certificate must come from, or `system` for those
                that gRPC knows; plain text when not given.
            certificate: PEM file with a certificate of our own, for a gateway that asks for one.
            key: PEM file with its private key.
            timeout_seconds: bounds each call that is not a stream.

        Raises:
            KMeansError: `BAD_TOKEN`, `BAD_TLS_FILES`, or `TOKEN_NEEDS_TLS`.
        """
        credentials = Credentials(token, _path(ca), _path(certificate), _path(key))
        self.target = target
        self._timeout_seconds = timeout_seconds
        self._channel = open_channel(target, credentials)
        self._datasets = dataset_service_pb2_grpc.DatasetServiceStub(self._channel)
        self._jobs = job_service_pb2_grpc.JobServiceStub(self._channel)

    @classmethod
    def from_environment(cls, target: str, *, timeout_seconds: float = 30.0) -> Self:
        """Use the service at HOST:PORT with the token and TLS files that the environment names.

        KMEANS_TOKEN, KMEANS_TLS_CA, KMEANS_TLS_CLIENT_CERTIFICATE and KMEANS_TLS_CLIENT_KEY are read now.
        """
        found = Credentials.from_environment()
        return cls(
            target,
            token=found.token,
            ca=found.ca,
            certificate=found.certificate,
            key=found.key,
            timeout_seconds=timeout_seconds,
        )

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way end. Idempotent."""
        self._channel.close()

    def wait_until_ready(self, timeout_seconds: float) -> None:
        """Return once the service says that it serves; Unreachable when that takes longer.

        A gateway that waits for its own servers can be reached and does not serve yet.
        """
        if not serves_within(self._channel, timeout_seconds):
            raise Unreachable(
                grpc.StatusCode.UNAVAILABLE,
                "UNREACHABLE",
                f"No K-Means Service answers at {self.target} within {timeout_seconds:g} s.",
            )

    # Datasets

    def upload_dataset(
        self,
        source: str | PathLike[str] | BinaryIO,
        *,
        display_name: str | None = None,
        request_id: str | None = None,
        sha256: str = "",
        progress: Progress | None = None,
        timeout_seconds: float | None = None,
    ) -> dataset_pb2.Dataset:
        """Upload a file, from its path or opened for reading in binary.

        Args:
            source: the file; an opened one is read from where it stands, and not closed.
            display_name: for people; the file's own name when not given.
            request_id: a UUID that makes repeating the upload harmless; a new one when not given.
            sha256: what the bytes must have (lower-case hexadecimal), else nothing is kept.
            progress: told what was sent, from another thread.
            timeout_seconds: for the whole upload; None for as long as it takes.

        Raises:
            OSError: the file cannot be read.
        """
        if isinstance(source, str | PathLike):
            path = Path(source)
            with path.open("rb") as opened:
                return self.upload_dataset(
                    opened,
                    display_name=display_name or path.name,
                    request_id=request_id,
                    sha256=sha256,
                    progress=progress,
                    timeout_seconds=timeout_seconds,
                )
        header = dataset_service_pb2.UploadDatasetHeader(
            display_name=display_name or _own_name(source),
            size_bytes=remaining_bytes(source),
            sha256=sha256,
            request_id=request_id or str(uuid.uuid4()),
        )
        stream = UploadStream(header, source, progress)
        try:
            with translated(self.target):
                return self._datasets.UploadDataset(iter(stream), timeout=timeout_seconds)
        except KMeansError:
            if stream.failure is not None:
                raise stream.failure from None
            raise

    def get_dataset(self, name: str) -> dataset_pb2.Dataset:
        """The dataset `datasets/{dataset}`."""
        with translated(self.target):
            return self._datasets.GetDataset(
                dataset_service_pb2.GetDatasetRequest(name=name), timeout=self._timeout_seconds
            )

    def list_datasets(self) -> Iterator[dataset_pb2.Dataset]:
        """Every dataset, newest first, fetched page by page."""
        for page in self._pages(
            lambda token: self._datasets.ListDatasets(
                dataset_service_pb2.ListDatasetsRequest(page_size=_PAGE_SIZE, page_token=token),
                timeout=self._timeout_seconds,
            )
        ):
            yield from page.datasets

    def sample_dataset(
        self, name: str, *, columns: Sequence[str] = (), max_rows: int = 0, seed: int = 0
    ) -> dataset_service_pb2.SampleDatasetResponse:
        """Rows for plots; all columns and at most 1,000 rows unless said otherwise."""
        with translated(self.target):
            return self._datasets.SampleDataset(
                dataset_service_pb2.SampleDatasetRequest(
                    name=name, columns=columns, max_rows=max_rows, seed=seed
                ),
                timeout=self._timeout_seconds,
            )

    def get_correlation(self, name: str) -> dataset_pb2.Correlation:
        """Correlations of a dataset's numeric columns; they never change."""
        with translated(self.target):
            return self._datasets.GetCorrelation(
                dataset_service_pb2.GetCorrelationRequest(name=name), timeout=self._timeout_seconds
            )

    def delete_dataset(self, name: str) -> None:
        """Delete a dataset that no job uses."""
        with translated(self.target):
            self._datasets.DeleteDataset(
                dataset_service_pb2.DeleteDatasetRequest(name=name), timeout=self._timeout_seconds
            )

    # Jobs

    def create_job(
        self,
        spec: job_pb2.JobSpec,
        *,
        display_name: str = "",
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> job_service_pb2.CreateJobResponse:
        """Submit a job; what its spec leaves out has the service's default.

        Args:
            spec: what to compute; only `dataset` is required.
            display_name: a title for people.
            request_id: a UUID that makes repeating the call harmless; a new one when not given.
            validate_only: check everything, keep nothing.
        """
        request = job_service_pb2.CreateJobRequest(
            spec=spec,
            display_name=display_name,
            request_id=request_id or str(uuid.uuid4()),
            validate_only=validate_only,
        )
        with translated(self.target):
            return self._jobs.CreateJob(request, timeout=self._timeout_seconds)

    def get_job(self, name: str) -> job_pb2.Job:
        """The job `jobs/{job}`."""
        with translated(self.target):
            return self._jobs.GetJob(job_service_pb2.GetJobRequest(name=name), timeout=self._timeout_seconds)

    def list_jobs(
        self, *, states: Iterable[job_pb2.JobState] = (), dataset: str = "", query: str = ""
    ) -> Iterator[job_pb2.Job]:
        """Every job, newest first, fetched page by page.

        Only those in these states, of this dataset, with `query` in their name or display name.
        """
        states = tuple(states)
        for page in self._pages(
            lambda token: self._jobs.ListJobs(
                job_service_pb2.ListJobsRequest(
                    page_size=_PAGE_SIZE, page_token=token, states=states, dataset=dataset, query=query
                ),
                timeout=self._timeout_seconds,
            )
        ):
            yield from page.jobs

    def watch_job(
        self,
        name: str,
        *,
        after_revision: int = 0,
        job_only: bool = False,
        max_resumes: int = MAX_RESUMES,
    ) -> Iterator[job_service_pb2.WatchJobResponse]:
        """Follow a job until it has ended: a snapshot, then changes.

        Resumed without losing a change, at most `max_resumes` times in a row, when the connection breaks and
        while the gateway has no place for it. Closing the iterator ends the call.
        """
        request = job_service_pb2.WatchJobRequest(name=name, after_revision=after_revision, job_only=job_only)
        return watch(self._jobs, self.target, request, max_resumes=max_resumes)

    def cancel_job(self, name: str) -> job_pb2.Job:
        """Stop a job; no change when it has ended already."""
        with translated(self.target):
            return self._jobs.CancelJob(
                job_service_pb2.CancelJobRequest(name=name), timeout=self._timeout_seconds
            )

    def retry_job(
        self, name: str, tasks: Sequence[str] = (), *, states: Iterable[task_pb2.TaskState] = ()
    ) -> job_pb2.Job:
        """Run tasks again: those of these names and in these states.

        Without either: those in ERROR and, of a CANCELLED job, the CANCELLED ones too. KMeansError
        (`NOTHING_TO_RETRY`) when that is none.
        """
        request = job_service_pb2.RetryJobRequest(name=name, tasks=tasks, states=states)
        with translated(self.target):
            return self._jobs.RetryJob(request, timeout=self._timeout_seconds)

    def delete_job(self, name: str) -> None:
        """Delete an ended job with its tasks."""
        with translated(self.target):
            self._jobs.DeleteJob(job_service_pb2.DeleteJobRequest(name=name), timeout=self._timeout_seconds)

    # Results

    def list_tasks(
        self,
        job: str,
        *,
        states: Iterable[task_pb2.TaskState] = (),
        covariances: Iterable[str] = (),
        k: int | None = None,
        experiment: int | None = None,
        best_first: bool = False,
    ) -> Iterator[task_pb2.Task]:
        """Tasks of a job, fetched page by page, by experiment, K and covariance or by falling BIC."""
        states, chosen = tuple(states), [covariance_value(name) for name in covariances]
        order = job_service_pb2.TASK_ORDER_BIC_DESCENDING if best_first else job_service_pb2.TASK_ORDER_KEY
        for page in self._pages(
            lambda token: self._jobs.ListTasks(
                job_service_pb2.ListTasksRequest(
                    parent=job,
                    page_size=_PAGE_SIZE,
                    page_token=token,
                    states=states,
                    covariances=chosen,
                    k=k,
                    experiment=experiment,
                    order=order,
                ),
                timeout=self._timeout_seconds,
            )
        ):
            yield from page.tasks

    def get_task(self, name: str) -> task_pb2.Task:
        """The task `jobs/{job}/tasks/{task}` with its clusters."""
        with translated(self.target):
            return self._jobs.GetTask(
                job_service_pb2.GetTaskRequest(name=name), timeout=self._timeout_seconds
            )

    def get_report(self, name: str, min_members: int | None = None) -> report_pb2.Report:
        """What a job recommends so far."""
        with translated(self.target):
            return self._jobs.GetReport(
                job_service_pb2.GetReportRequest(name=name, min_members=min_members),
                timeout=self._timeout_seconds,
            )

    def get_agreement(
        self, name: str, min_members: int | None = None, *, timeout_seconds: float | None = 300.0
    ) -> report_pb2.Agreement:
        """How far the best task of each experiment agrees with the job's best one."""
        with translated(self.target):
            return self._jobs.GetAgreement(
                job_service_pb2.GetAgreementRequest(name=name, min_members=min_members),
                timeout=timeout_seconds,
            )

    def stream_labels(
        self, name: str, min_members: int | None = None, *, rows: Sequence[int] = ()
    ) -> Iterator[job_service_pb2.StreamLabelsResponse]:
        """Runs of labels in the rows' order; of a task, or of a job's best task.

        Of every row, or of these `rows` (from 0, ascending, without repeats). Closing the iterator ends
        the call.
        """
        call = self._jobs.StreamLabels(
            job_service_pb2.StreamLabelsRequest(name=name, min_members=min_members, rows=rows)
        )
        try:
            with translated(self.target):
                yield from call
        finally:
            call.cancel()

    def export_labels(self, name: str, min_members: int | None = None) -> Iterator[bytes]:
        """A CSV file in chunks: the dataset's rows and columns, and a column `label`.

        Labels of a task, or of a job's best task; empty where a chosen column is missing. Closing the
        iterator ends the call.
        """
        call = self._jobs.ExportLabels(
            job_service_pb2.ExportLabelsRequest(name=name, min_members=min_members)
        )
        try:
            with translated(self.target):
                for message in call:
                    yield message.chunk
        finally:
            call.cancel()

    def predict(
        self,
        task: str,
        batches: Iterable[Sequence[float]],
        *,
        columns: Sequence[str] = (),
        outlier_probability: float | None = None,
    ) -> Iterator[job_service_pb2.PredictResponse]:
        """Labels, squared distances and outlier flags of new rows under a task's model.

        One answer per batch, in their order; batches are taken as answers are read, a few ahead, on another
        thread. Closing the iterator ends the call.

        Args:
            task: `jobs/{job}/tasks/{task}`.
            batches: each the values of some whole rows, row by row, in original units; NaN where one is
                missing. At most MAX_PREDICT_VALUES values each.
            columns: order of the values in each row; the job's order when empty.
            outlier_probability: the chi-square quantile above which a row is an outlier; by default 0.999.

        Raises whatever taking the batches raises.
        """
        header = job_service_pb2.PredictHeader(
            task=task, columns=columns, outlier_probability=outlier_probability
        )
        stream = PredictionStream(header, batches)
        call = self._jobs.Predict(iter(stream))
        try:
            with translated(self.target):
                yield from call
        finally:
            call.cancel()
        if stream.failure is not None:
            raise stream.failure

    def export_model(
        self,
        task: str,
        model_format: job_service_pb2.ModelFormat = job_service_pb2.MODEL_FORMAT_JSON,
    ) -> Iterator[bytes]:
        """A task's model as a file in chunks: JSON after `kmeans/v1/model.schema.json`, or ONNX.

        Closing the iterator ends the call.
        """
        call = self._jobs.ExportModel(job_service_pb2.ExportModelRequest(name=task, format=model_format))
        try:
            with translated(self.target):
                for message in call:
                    yield message.chunk
        finally:
            call.cancel()

    def _pages(self, fetch: Callable[[str], P]) -> Iterator[P]:
        token = ""
        while True:
            with translated(self.target):
                page = fetch(token)
            yield page
            token = page.next_page_token
            if not token:
                return


def _path(given: str | PathLike[str] | None) -> Path | None:
    return None if given is None else Path(given)


def _own_name(source: BinaryIO) -> str:
    name = getattr(source, "name", None)
    return Path(name).name if isinstance(name, str) else "upload"
