"""What all listings and calls have in common, through a real channel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from kmeans.v1 import dataset_service_pb2, job_pb2, job_service_pb2

from kmeans_client import Client, KMeansError
from kmeans_client.channel import open_channel
from kmeans_client.errors import translated
from services.core.jobs import JobFilter
from services.core.pages import MAX_PAGE_SIZE, PageRequest
from services.gateway.server import _OPTIONS, Gateway

J = job_service_pb2


@pytest.fixture
def job(dataset: Any, client: Client, bench: Any) -> str:
    """A job with more tasks than a page can hold."""
    spec = job_pb2.JobSpec(dataset=dataset.name, max_k=20, n_experiments=9)
    name = client.create_job(spec).job.name
    assert len(bench.start(name)) > MAX_PAGE_SIZE
    return name


@pytest.mark.parametrize("size", [MAX_PAGE_SIZE, MAX_PAGE_SIZE + 1, 2**31 - 1])
def test_a_page_has_its_bound(job: str, jobs: Any, size: int) -> None:
    page = jobs.ListTasks(J.ListTasksRequest(parent=job, page_size=size), timeout=20)
    assert len(page.tasks) == MAX_PAGE_SIZE
    rest = jobs.ListTasks(
        J.ListTasksRequest(parent=job, page_size=size, page_token=page.next_page_token), timeout=20
    )
    names = [task.name for task in (*page.tasks, *rest.tasks)]
    assert len(set(names)) == len(names) == 1080
    assert rest.next_page_token == ""


def test_pages_of_jobs_stay_in_order_while_jobs_are_added(dataset: Any, client: Client, jobs: Any) -> None:
    spec = job_pb2.JobSpec(dataset=dataset.name, max_k=1)
    first = [client.create_job(spec).job.name for _ in range(5)]
    seen, token = [], ""
    while True:
        page = jobs.ListJobs(J.ListJobsRequest(page_size=2, page_token=token), timeout=20)
        seen += [job.name for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
        client.create_job(spec)
    assert seen == first[::-1]


def test_a_token_belongs_to_its_listing(job: str, dataset: Any, client: Client, jobs: Any) -> None:
    spec = job_pb2.JobSpec(dataset=dataset.name, max_k=1)
    client.create_job(spec)
    other = client.create_job(spec).job.name
    of_jobs = jobs.ListJobs(J.ListJobsRequest(page_size=1), timeout=20).next_page_token
    of_tasks = jobs.ListTasks(J.ListTasksRequest(parent=job, page_size=1), timeout=20).next_page_token
    assert of_jobs
    assert of_tasks
    by_bic = job_service_pb2.TASK_ORDER_BIC_DESCENDING
    pending = job_pb2.JOB_STATE_PENDING
    for call, request in (
        (jobs.ListJobs, J.ListJobsRequest(page_token=of_jobs, states=[pending])),
        (jobs.ListJobs, J.ListJobsRequest(page_token=of_jobs, dataset=dataset.name)),
        (jobs.ListJobs, J.ListJobsRequest(page_token=of_jobs, query="x")),
        (jobs.ListJobs, J.ListJobsRequest(page_token=of_tasks)),
        (jobs.ListTasks, J.ListTasksRequest(parent=other, page_token=of_tasks)),
        (jobs.ListTasks, J.ListTasksRequest(parent=job, page_token=of_tasks, k=1)),
        (jobs.ListTasks, J.ListTasksRequest(parent=job, page_token=of_tasks, order=by_bic)),
        (jobs.ListTasks, J.ListTasksRequest(parent=job, page_token="nonsense")),
        (jobs.ListTasks, J.ListTasksRequest(parent=job, page_token=of_tasks[:-4])),
    ):
        with pytest.raises(KMeansError) as refused, translated("here"):
            call(request, timeout=20)
        assert (refused.value.code, refused.value.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "BAD_PAGE_TOKEN",
        )
        assert refused.value.violations[0].field == "page_token"


def test_what_nobody_waits_for_any_more_is_not_begun(
    dataset: Any,
    jobs: Any,
    backends: Any,
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    calls_end: Callable[[], threading.Event],
) -> None:
    """The store is slow, the deadline passes meanwhile: no job is made for a client that has gone."""
    asked, go_on, answered = (threading.Event() for _ in range(3))
    read = backends.store.get_dataset

    def slowly(dataset_id: str) -> Any:
        asked.set()
        go_on.wait(60)
        try:
            return read(dataset_id)
        finally:
            answered.set()

    monkeypatch.setattr(backends.store, "get_dataset", slowly)
    request = J.CreateJobRequest(spec=job_pb2.JobSpec(dataset=dataset.name))
    call = jobs.CreateJob.future(request, timeout=60)
    assert asked.wait(60)
    ended = calls_end()
    call.cancel()
    assert ended.wait(60)
    go_on.set()
    assert answered.wait(60)
    gateway.stop(60)  # returns when no thread works for a call any more
    assert backends.store.list_jobs(JobFilter(), PageRequest()).items == ()


def test_client_and_gateway_agree_on_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks more often than the gateway permits is cut off (too_many_pings)."""
    opened: dict[str, Any] = {}
    plain = grpc.insecure_channel

    def spy(target: str, options: Any) -> grpc.Channel:
        opened.update(options)
        return plain(target, options=options)

    monkeypatch.setattr(grpc, "insecure_channel", spy)
    open_channel("127.0.0.1:1").close()
    served = dict(_OPTIONS)
    assert opened["grpc.keepalive_time_ms"] >= served["grpc.http2.min_ping_interval_without_data_ms"]
    assert opened["grpc.max_receive_message_length"] == served["grpc.max_send_message_length"]


def test_an_answer_fits_into_a_message(client: Client, dataset: Any, datasets: Any) -> None:
    answer = datasets.SampleDataset(
        dataset_service_pb2.SampleDatasetRequest(name=dataset.name, max_rows=2**31 - 1), timeout=20
    )
    assert answer.ByteSize() <= 4 << 20
    assert len(answer.rows) == dataset.row_count
