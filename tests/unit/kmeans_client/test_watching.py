"""Which broken watches go on, and after which pauses: a server that follows a script."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import pytest
from grpc_status import rpc_status
from kmeans.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from kmeans_client import KMeansError, has_ended
from kmeans_client.watching import watch
from services.core.errors import LimitExceeded, ServiceError, Unavailable
from services.gateway.statuses import status_of

BUSY = LimitExceeded("All watches are taken.", "TOO_MANY_STREAMS", retry_seconds=2)
VERY_BUSY = LimitExceeded("All watches are taken.", "TOO_MANY_STREAMS", retry_seconds=3600)
FULL = LimitExceeded("The message is too large.", "LIMIT_EXCEEDED")
STOPPED = "dropped unanswered, as by a server in the moment in which it stops"
HELD = "told nothing more, for as long as it is watched"
GONE = Unavailable("This gateway is shutting down.", "SHUTTING_DOWN")


@dataclass
class Scripted(job_service_pb2_grpc.JobServiceServicer):
    """Answers each watch by the next line of the script: revisions that are told, then how it ends."""

    script: list[tuple[list[int], ServiceError | str | None]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def WatchJob(  # noqa: N802
        self, request: job_service_pb2.WatchJobRequest, context: grpc.ServicerContext
    ) -> Iterator[job_service_pb2.WatchJobResponse]:
        self.asked.append(request.after_revision)
        revisions, error = self.script.pop(0)
        for revision in revisions:
            state = job_pb2.JOB_STATE_RUNNING if error or revision < 9 else job_pb2.JOB_STATE_SUCCEEDED
            yield job_service_pb2.WatchJobResponse(job={"revision": revision, "state": state})
        if error == HELD:
            left = threading.Event()
            assert not context.add_callback(left.set) or left.wait(10)
        elif error == STOPPED:
            context.cancel()
        elif isinstance(error, ServiceError):
            context.abort_with_status(rpc_status.to_status(status_of(error)))


@pytest.fixture
def server() -> Scripted:
    return Scripted()


@pytest.fixture
def channel(server: Scripted) -> Iterator[grpc.Channel]:
    with ThreadPoolExecutor(2) as pool:
        running = grpc.server(pool)
        job_service_pb2_grpc.add_JobServiceServicer_to_server(server, running)
        port = running.add_insecure_port("127.0.0.1:0")
        running.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            yield channel
        running.stop(0).wait()


@pytest.fixture
def stub(channel: grpc.Channel) -> job_service_pb2_grpc.JobServiceStub:
    return job_service_pb2_grpc.JobServiceStub(channel)


def follow(
    stub: job_service_pb2_grpc.JobServiceStub, max_resumes: int = 12
) -> tuple[list[job_service_pb2.WatchJobResponse], list[float], KMeansError | None]:
    """What was seen, the pauses that were asked for, and how it failed."""
    seen: list[job_service_pb2.WatchJobResponse] = []
    pauses: list[float] = []
    request = job_service_pb2.WatchJobRequest(name="jobs/a")
    try:
        seen.extend(watch(stub, "here", request, max_resumes=max_resumes, sleep=pauses.append))
    except KMeansError as error:
        return seen, pauses, error
    return seen, pauses, None


def test_a_gateway_without_a_place_is_asked_again_when_it_says(
    server: Scripted, stub: job_service_pb2_grpc.JobServiceStub
) -> None:
    server.script = [([1, 2], GONE), ([], BUSY), ([], BUSY), ([5], GONE), ([9], None)]
    watched, pauses, failure = follow(stub)
    assert failure is None
    assert [step.job.revision for step in watched] == [1, 2, 5, 9]
    assert has_ended(watched[-1].job)
    assert server.asked == [0, 2, 2, 2, 5]
    assert [pause >= 2 for pause in pauses] == [False, True, True, False]
    assert max(pauses) < 2 + 5


def test_a_watch_that_is_dropped_unanswered_is_resumed(
    server: Scripted, stub: job_service_pb2_grpc.JobServiceStub
) -> None:
    server.script = [([1], GONE), ([], STOPPED), ([2], GONE), ([9], None)]
    seen, pauses, failure = follow(stub)
    assert failure is None
    assert ([step.job.revision for step in seen], len(pauses)) == ([1, 2, 9], 3)


def test_a_watch_that_this_side_ends_is_not_resumed(
    server: Scripted, stub: job_service_pb2_grpc.JobServiceStub, channel: grpc.Channel
) -> None:
    server.script = [([1], HELD)]
    pauses: list[float] = []
    steps = watch(stub, "here", job_service_pb2.WatchJobRequest(name="jobs/a"), sleep=pauses.append)
    next(steps)
    channel.close()
    with pytest.raises(KMeansError) as failed:
        list(steps)
    assert (failed.value.reason, pauses) == ("CANCELLED", [])


def test_nobody_waits_for_an_hour_because_a_gateway_says_so(
    server: Scripted, stub: job_service_pb2_grpc.JobServiceStub
) -> None:
    server.script = [([1], GONE), ([], VERY_BUSY), ([9], None)]
    _, pauses, failure = follow(stub)
    assert failure is None
    assert 5 <= pauses[1] <= 10


def test_the_asking_is_bounded(server: Scripted, stub: job_service_pb2_grpc.JobServiceStub) -> None:
    server.script = [([1], GONE), ([], BUSY), ([], GONE), ([], BUSY), ([], BUSY)]
    seen, pauses, failure = follow(stub, max_resumes=3)
    assert failure is not None
    assert failure.reason == "TOO_MANY_STREAMS"
    assert (len(seen), len(pauses)) == (1, 3)


@pytest.mark.parametrize("refusal", [BUSY, GONE])
def test_a_watch_that_never_began_is_refused_at_once(
    server: Scripted, stub: job_service_pb2_grpc.JobServiceStub, refusal: ServiceError
) -> None:
    server.script = [([], refusal)]
    _, pauses, failure = follow(stub)
    assert failure is not None
    assert (failure.reason, pauses) == (refusal.reason, [])


def test_a_limit_that_no_waiting_helps_against_is_the_end(
    server: Scripted, stub: job_service_pb2_grpc.JobServiceStub
) -> None:
    server.script = [([1], GONE), ([], FULL)]
    _, pauses, failure = follow(stub)
    assert failure is not None
    assert (failure.reason, len(pauses)) == ("LIMIT_EXCEEDED", 1)
