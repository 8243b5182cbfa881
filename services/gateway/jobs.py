"""JobService: runs jobs and reads what they found."""

# ruff: noqa: N802 - methods are named as the proto names its RPCs

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import grpc
from google.protobuf import empty_pb2
from kmeans.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc, report_pb2, task_pb2

from services.core.errors import NotFound
from services.core.jobs import Job, JobFilter
from services.core.pages import PageRequest
from services.core.ports import Store
from services.core.reporting import DEFAULT_MIN_MEMBERS, check_min_members
from services.core.tasks import Task, TaskFilter, TaskKey, TaskOrder
from services.core.validation import check_query
from services.gateway.access import Access, caller_of, check_still_wanted, owner_of
from services.gateway.agreements import Agreements
from services.gateway.errors import invalid_field
from services.gateway.labels import Labels, read_rows
from services.gateway.memory import Memory, label_bytes, model_bytes, table_bytes
from services.gateway.messages import (
    COVARIANCES,
    JOB_STATES,
    TASK_STATES,
    agreement_message,
    cluster_messages,
    job_message,
    report_message,
    task_message,
)
from services.gateway.model_files import write_model
from services.gateway.models import fitted
from services.gateway.names import parse_dataset, parse_job, parse_job_or_task, parse_task
from services.gateway.onnx_models import write_onnx
from services.gateway.paging import fit_message, fit_page
from services.gateway.predictions import Predictions
from services.gateway.reports import Reports, require_best
from services.gateway.slots import Slots
from services.gateway.submission import Submission
from services.gateway.turns import Turns
from services.gateway.watching import Watching

__all__ = ["JobServicer"]

_ORDERS = {
    job_service_pb2.TASK_ORDER_UNSPECIFIED: TaskOrder.KEY,
    job_service_pb2.TASK_ORDER_KEY: TaskOrder.KEY,
    job_service_pb2.TASK_ORDER_BIC_DESCENDING: TaskOrder.BIC_DESCENDING,
}
_JSON_FORMATS = {job_service_pb2.MODEL_FORMAT_UNSPECIFIED, job_service_pb2.MODEL_FORMAT_JSON}
_MODEL_FORMATS = {*_JSON_FORMATS, job_service_pb2.MODEL_FORMAT_ONNX}
_CHUNK_BYTES = 1 << 20


class JobServicer(job_service_pb2_grpc.JobServiceServicer):
    """See `protos/kmeans/v1/job_service.proto`, which documents every method."""

    def __init__(
        self,
        store: Store,
        submission: Submission,
        watching: Watching,
        labels: Labels,
        agreements: Agreements,
        *,
        watches: Slots,
        transfers: Slots,
        memory: Memory,
    ) -> None:
        """Serve from this store; `watches`, `transfers` and `memory` bound the streams that run at once."""
        self._store = store
        self._submission = submission
        self._watching = watching
        self._labels = labels
        self._agreements = agreements
        self._watches = watches
        self._transfers = transfers
        self._memory = memory
        self._predictions = Predictions(store, memory)
        self._reports = Reports(store)
        self._graphs = Turns()
        self._access = Access(store)

    def CreateJob(
        self, request: job_service_pb2.CreateJobRequest, context: grpc.ServicerContext
    ) -> job_service_pb2.CreateJobResponse:
        """See the proto."""
        owner = owner_of(context)
        dataset = self._access.dataset(owner, parse_dataset(request.spec.dataset, "spec.dataset"))
        planned = self._submission.plan(owner, request, dataset, partial(check_still_wanted, context))
        check_still_wanted(context)
        if request.validate_only:
            self._submission.check(planned)
        job = planned.job if request.validate_only else self._submission.accept(planned)
        return job_service_pb2.CreateJobResponse(
            job=self._message(job),
            planned_task_count=job.spec.n_tasks,
            estimated_core_seconds=planned.estimated_core_seconds,
        )

    def GetJob(self, request: job_service_pb2.GetJobRequest, context: grpc.ServicerContext) -> job_pb2.Job:
        """See the proto."""
        return self._message(self._job(request.name, context))

    def ListJobs(
        self, request: job_service_pb2.ListJobsRequest, context: grpc.ServicerContext
    ) -> job_service_pb2.ListJobsResponse:
        """See the proto."""
        owner = owner_of(context)
        states = tuple(dict.fromkeys(JOB_STATES.read_all(request.states, "states"))) or None
        dataset_id = parse_dataset(request.dataset, "dataset") if request.dataset else None
        job_filter = JobFilter(owner, states, dataset_id, check_query(request.query))
        jobs, token = fit_page(
            partial(self._store.list_jobs, job_filter),
            self._message,
            request.page_size,
            request.page_token,
            listing=("jobs", job_filter),
        )
        return job_service_pb2.ListJobsResponse(jobs=jobs, next_page_token=token)

    def WatchJob(
        self, request: job_service_pb2.WatchJobRequest, context: grpc.ServicerContext
    ) -> Iterator[job_service_pb2.WatchJobResponse]:
        """See the proto."""
        if request.after_revision < 0:
            raise invalid_field(
                "after_revision", f"after_revision is {request.after_revision}; it must be 0 or more."
            )
        with self._watches.take(owner_of(context)):
            yield from self._watching.follow(
                self._job(request.name, context),
                request.after_revision,
                job_only=request.job_only,
                listener=caller_of(context),
            )

    def CancelJob(
        self, request: job_service_pb2.CancelJobRequest, context: grpc.ServicerContext
    ) -> job_pb2.Job:
        """See the proto."""
        return self._message(self._submission.cancel(self._job(request.name, context)))

    def RetryJob(
        self, request: job_service_pb2.RetryJobRequest, context: grpc.ServicerContext
    ) -> job_pb2.Job:
        """See the proto."""
        job = self._job(request.name, context)
        keys = [parse_task(name, f"tasks[{index}]") for index, name in enumerate(request.tasks)]
        for index, key in enumerate(keys):
            if key.job_id != job.id:
                field = f"tasks[{index}]"
                raise invalid_field(
                    field, f"{field} '{request.tasks[index]}' is not a task of '{request.name}'."
                )
        states = TASK_STATES.read_all(request.states, "states")
        for index, state in enumerate(states):
            if not state.is_terminal:
                raise invalid_field(
                    f"states[{index}]",
                    f"states[{index}] is {TASK_STATES.name(state)}: such tasks run anyway. "
                    "Only tasks that have ended can be run again.",
                )
        return self._message(self._submission.retry(job, keys, states))

    def DeleteJob(
        self, request: job_service_pb2.DeleteJobRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """See the proto."""
        self._store.delete_job(self._job(request.name, context).id)
        return empty_pb2.Empty()

    def ListTasks(
        self, request: job_service_pb2.ListTasksRequest, context: grpc.ServicerContext
    ) -> job_service_pb2.ListTasksResponse:
        """See the proto."""
        job = self._job(request.parent, context, "parent")
        order = _ORDERS.get(request.order)
        if order is None:
            raise invalid_field("order", f"order is {request.order}, which is none of the task orders.")
        task_filter = TaskFilter(
            states=tuple(dict.fromkeys(TASK_STATES.read_all(request.states, "states"))) or None,
            covariances=tuple(dict.fromkeys(COVARIANCES.read_all(request.covariances, "covariances")))
            or None,
            k=request.k if request.HasField("k") else None,
            experiment=request.experiment if request.HasField("experiment") else None,
        )
        asked = PageRequest.parse(
            request.page_size, request.page_token, listing=("tasks", job.id, task_filter, order)
        )

        def answer(size: int) -> job_service_pb2.ListTasksResponse:
            page = self._store.list_tasks(
                job.id, task_filter, order, PageRequest(size, asked.after, asked.scope)
            )
            return job_service_pb2.ListTasksResponse(
                tasks=map(task_message, page.items), next_page_token=page.next_token
            )

        return fit_message(answer, asked.size)

    def GetTask(
        self, request: job_service_pb2.GetTaskRequest, context: grpc.ServicerContext
    ) -> task_pb2.Task:
        """See the proto."""
        task = self._access.task(owner_of(context), parse_task(request.name))
        if task.result is None:
            return task_message(task)
        try:
            model = self._store.get_model(task.key)
        except NotFound:
            # Set back to run again between the two reads, or degenerate beyond any model.
            return task_message(task)
        return task_message(task, cluster_messages(task.result, model))

    def GetReport(
        self, request: job_service_pb2.GetReportRequest, context: grpc.ServicerContext
    ) -> report_pb2.Report:
        """See the proto."""
        min_members = _min_members(request)
        job = self._job(request.name, context)
        return report_message(job, self._reports.of(job, min_members, partial(check_still_wanted, context)))

    def GetAgreement(
        self, request: job_service_pb2.GetAgreementRequest, context: grpc.ServicerContext
    ) -> report_pb2.Agreement:
        """See the proto."""
        min_members = _min_members(request)
        with self._transfers.take(owner_of(context)):
            job = self._job(request.name, context)
            agreement = self._agreements.of(job, min_members, partial(check_still_wanted, context))
        return agreement_message(agreement)

    def StreamLabels(
        self, request: job_service_pb2.StreamLabelsRequest, context: grpc.ServicerContext
    ) -> Iterator[job_service_pb2.StreamLabelsResponse]:
        """See the proto."""
        chosen = read_rows(request.rows)
        check = partial(check_still_wanted, context)
        with self._transfers.take(owner_of(context)):
            job, key = self._labelled(request, context)
            row_count = _row_count(job) if chosen is None else len(chosen)
            with self._memory.hold(job.owner, label_bytes(row_count), check):
                yield from self._labels.runs(job, key, check, chosen)

    def ExportLabels(
        self, request: job_service_pb2.ExportLabelsRequest, context: grpc.ServicerContext
    ) -> Iterator[job_service_pb2.ExportLabelsResponse]:
        """See the proto."""
        check = partial(check_still_wanted, context)
        with self._transfers.take(owner_of(context)):
            job, key = self._labelled(request, context)
            held = label_bytes(_row_count(job)) + table_bytes(self._store.get_dataset(job.spec.dataset_id))
            with self._memory.hold(job.owner, held, check):
                yield from self._labels.table(job, key, check)

    def Predict(
        self,
        request_iterator: Iterator[job_service_pb2.PredictRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[job_service_pb2.PredictResponse]:
        """See the proto."""
        with self._transfers.take(owner_of(context)):
            yield from self._predictions.answers(
                owner_of(context), request_iterator, partial(check_still_wanted, context)
            )

    def ExportModel(
        self, request: job_service_pb2.ExportModelRequest, context: grpc.ServicerContext
    ) -> Iterator[job_service_pb2.ExportModelResponse]:
        """See the proto."""
        key = parse_task(request.name)
        if request.format not in _MODEL_FORMATS:
            raise invalid_field(
                "format",
                f"format is {request.format}, which is none of the formats; JSON is 1, ONNX 2.",
            )
        owner, check = owner_of(context), partial(check_still_wanted, context)
        with self._transfers.take(owner):
            job, task = self._access.job(owner, key.job_id), self._access.task(owner, key)
            with self._memory.hold(owner, model_bytes(job.spec, key), check):
                is_json = request.format in _JSON_FORMATS
                chunks = self._json(job, task) if is_json else self._onnx(task, check)
                for chunk in chunks:
                    yield job_service_pb2.ExportModelResponse(chunk=chunk)

    def _json(self, job: Job, task: Task) -> Iterator[bytes]:
        result, model = fitted(self._store, task)
        return write_model(
            self._store.get_dataset(job.spec.dataset_id), job, task, result, model, _CHUNK_BYTES
        )

    def _onnx(self, task: Task, check: Callable[[], None]) -> Iterator[bytes]:
        # Built from some ten copies of the model, 26 MB each at most: one at a time. What remains of them
        # while the client takes it is the file.
        with self._graphs.take(check):
            _, model = fitted(self._store, task)
            return write_onnx(task.key, model, _CHUNK_BYTES)

    def _job(self, name: str, context: grpc.ServicerContext, field: str = "name") -> Job:
        return self._access.job(owner_of(context), parse_job(name, field))

    def _labelled(
        self,
        request: job_service_pb2.StreamLabelsRequest | job_service_pb2.ExportLabelsRequest,
        context: grpc.ServicerContext,
    ) -> tuple[Job, TaskKey]:
        """The job and the task of it whose labels are asked for, by name or as the best one."""
        min_members = _min_members(request)
        named = parse_job_or_task(request.name)
        if isinstance(named, str):
            job = self._access.job(owner_of(context), named)
            report = self._reports.of(job, min_members, partial(check_still_wanted, context))
            key = require_best(job, report).key
        else:
            job = self._access.job(owner_of(context), named.job_id)
            key = self._access.task(job.owner, named).key
        check_still_wanted(context)
        return job, key

    def _message(self, job: Job) -> job_pb2.Job:
        return job_message(job, self._store.count_tasks(job.id))


def _row_count(job: Job) -> int:
    return job.row_count + job.skipped_row_count


def _min_members(
    request: job_service_pb2.GetReportRequest
    | job_service_pb2.StreamLabelsRequest
    | job_service_pb2.ExportLabelsRequest
    | job_service_pb2.GetAgreementRequest,
) -> int:
    return check_min_members(request.min_members if request.HasField("min_members") else DEFAULT_MIN_MEMBERS)
