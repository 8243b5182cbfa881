"""What all listings and calls have in common, through a real channel."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import grpc
import pytest
from kmeans.v1 import dataset_service_pb2, job_pb2, job_service_pb2, job_service_pb2_grpc

from kmeans_client import Client, KMeansError
from kmeans_client.channel import open_channel
from kmeans_client.errors import translated
from services.core.jobs import JobFilter
from services.core.pages import MAX_PAGE_SIZE, PageRequest
from services.core.tasks import TaskKey, TaskOutcome
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


def test_pages_of_datasets_stay_in_order_while_datasets_are_added(client: Client, datasets: Any) -> None:
    def upload() -> str:
        return client.upload_dataset(io.BytesIO(b"a\n1\n2\n"), display_name="t").name

    first = [upload() for _ in range(5)]
    seen, token = [], ""
    while True:
        request = dataset_service_pb2.ListDatasetsRequest(page_size=2, page_token=token)
        page = datasets.ListDatasets(request, timeout=20)
        seen += [dataset.name for dataset in page.datasets]
        token = page.next_page_token
        if not token:
            break
        upload()
    assert seen == first[::-1]


def test_pages_of_tasks_stay_in_order_while_tasks_run(
    dataset: Any, client: Client, bench: Any, jobs: Any, done: Any
) -> None:
    """By key each comes once, whatever happens to it; by BIC each that had one at the beginning does."""
    spec = job_pb2.JobSpec(dataset=dataset.name, max_k=4, n_experiments=2)
    name = client.create_job(spec).job.name
    keys = sorted(bench.start(name))

    def scored(key: TaskKey) -> TaskOutcome:
        outcome = done(key)
        return replace(outcome, result=replace(outcome.result, bic=float(keys.index(key))))

    def paged(order: int) -> Iterator[str]:
        token = ""
        while True:
            request = J.ListTasksRequest(parent=name, page_size=5, page_token=token, order=order)
            page = jobs.ListTasks(request, timeout=20)
            yield from (task.name for task in page.tasks)
            token = page.next_page_token
            if not token:
                return
            bench.start(client.create_job(spec).job.name)
            bench.finish([to_run.pop(0), to_run.pop()], scored)

    to_run = list(keys[:24])
    names = [f"{name}/tasks/{key.short_id}" for key in keys]
    assert list(paged(J.TASK_ORDER_KEY)) == names
    to_run = list(keys[24:])
    bench.finish(keys[:24], scored)
    by_bic = [task for task in paged(J.TASK_ORDER_BIC_DESCENDING) if task in names[:24]]
    assert by_bic == names[:24][::-1]


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


class Counting:
    """Passes one connection on, and counts the frames of HTTP/2 that keep it alive or end it."""

    def __init__(self, port: int) -> None:
        self.pings, self.enhance_your_calm = threading.Semaphore(0), False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._server_port = port
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Once its client has gone."""
        self._thread.join(60)

    def _run(self) -> None:
        with self._listener:
            client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._server_port))
        # What a client says before its first frame.
        preface = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        with client, server:
            back = threading.Thread(target=self._pump, args=(server, client, 0), daemon=True)
            back.start()
            self._pump(client, server, preface)
            back.join(60)

    def _pump(self, source: socket.socket, sink: socket.socket, skipped: int) -> None:
        # Either side may go while the other still has something to say.
        with suppress(OSError):
            self._pass_on(source, sink, skipped)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _pass_on(self, source: socket.socket, sink: socket.socket, skipped: int) -> None:
        seen = bytearray()
        while chunk := source.recv(1 << 16):
            seen += chunk
            if skipped and len(seen) >= skipped:
                del seen[:skipped]
                skipped = 0
            while not skipped and len(seen) >= 9 + int.from_bytes(seen[:3], "big"):
                self._count(seen[3], bool(seen[4] & 1), bytes(seen[13:17]))
                del seen[: 9 + int.from_bytes(seen[:3], "big")]
            sink.sendall(chunk)

    def _count(self, kind: int, is_answer: bool, told: bytes) -> None:
        if kind == 6 and is_answer:
            self.pings.release()
        # A GOAWAY: the last stream's number, then the error's, ENHANCE_YOUR_CALM being 11.
        if kind == 7 and int.from_bytes(told, "big") == 11:
            self.enhance_your_calm = True


@pytest.mark.parametrize("is_agreed", [True, False], ids=["as agreed", "too often"])
def test_pings_of_our_client_are_welcome_and_too_many_are_not(
    backends: Any,
    settings: Any,
    dataset: Any,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    is_agreed: bool,
) -> None:
    """With the settings of both sides, the client's so much faster that it pings each second.

    A gateway that is as much faster takes that; one that is not cuts the client off.
    """
    scale = 30
    name = client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=1)).job.name
    options = dict(_OPTIONS)
    interval = "grpc.http2.min_ping_interval_without_data_ms"
    quick = tuple((options | {interval: options[interval] // (scale if is_agreed else 1)}).items())
    monkeypatch.setattr("services.gateway.server._OPTIONS", quick)
    gateway = Gateway(backends.store, backends.queue, backends.objects, settings)
    between = Counting(gateway.start("127.0.0.1:0"))
    plain = grpc.insecure_channel

    def hasty(target: str, options: Any) -> grpc.Channel:
        own = dict(options)
        own["grpc.keepalive_time_ms"] //= scale
        return plain(target, options=[*own.items(), ("grpc.http2.max_pings_without_data", 0)])

    monkeypatch.setattr(grpc, "insecure_channel", hasty)
    with open_channel(f"127.0.0.1:{between.port}") as channel:
        watch = job_service_pb2_grpc.JobServiceStub(channel).WatchJob(
            J.WatchJobRequest(name=name, job_only=True), timeout=60
        )
        assert next(watch).job.name == name
        if is_agreed:
            # More than the strikes it would forgive.
            for _ in range(2 + options["grpc.http2.max_ping_strikes"]):
                assert between.pings.acquire(timeout=30)
            client.cancel_job(name)
            assert next(watch).job.state == job_pb2.JOB_STATE_CANCELLED
        else:
            with pytest.raises(grpc.RpcError) as cut:
                next(watch)
            assert cut.value.code() is grpc.StatusCode.UNAVAILABLE
    between.close()
    gateway.stop(0)
    assert between.enhance_your_calm == (not is_agreed)


def test_an_answer_fits_into_a_message(client: Client, dataset: Any, datasets: Any) -> None:
    answer = datasets.SampleDataset(
        dataset_service_pb2.SampleDatasetRequest(name=dataset.name, max_rows=2**31 - 1), timeout=20
    )
    assert answer.ByteSize() <= 4 << 20
    assert len(answer.rows) == dataset.row_count
