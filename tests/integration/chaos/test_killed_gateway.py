"""A watch whose gateway is killed before it has said a word comes back with the next one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from kmeans.v1 import job_service_pb2, job_service_pb2_grpc

from kmeans_client import has_ended
from kmeans_client.channel import open_channel
from kmeans_client.watching import watch
from tests.servers.ports import HOST, choose_ports

PATIENCE_SECONDS = 30.0
REFUSALS = 20

# Tells one step and breaks; is silent; or tells the end.
_GATEWAY = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import grpc
from kmeans.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

address, manner = sys.argv[1:]

class Jobs(job_service_pb2_grpc.JobServiceServicer):
    def WatchJob(self, request, context):
        print("watched", flush=True)
        if manner == "silent":
            threading.Event().wait()
        state = job_pb2.JOB_STATE_SUCCEEDED if manner == "ends" else job_pb2.JOB_STATE_RUNNING
        yield job_service_pb2.WatchJobResponse(job=job_pb2.Job(name="jobs/a", revision=1, state=state))
        if manner == "breaks":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the store does not answer")

server = grpc.server(ThreadPoolExecutor(4))
job_service_pb2_grpc.add_JobServiceServicer_to_server(Jobs(), server)
server.add_insecure_port(address)
server.start()
print("listens", flush=True)
server.wait_for_termination()
"""


@contextmanager
def gateway(address: str, manner: str) -> Iterator[Iterator[str]]:
    """A process that is killed at the end; yields what it prints."""
    with subprocess.Popen(
        [sys.executable, "-c", _GATEWAY, address, manner], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert next(process.stdout).strip() == "listens"
            yield process.stdout
        finally:
            process.kill()


class Watched(threading.Thread):
    """A watch in a thread of its own."""

    def __init__(self, channel: grpc.Channel) -> None:
        super().__init__(daemon=True)
        self.broke = threading.Semaphore(0)
        self.has_seen_the_end = False
        self._channel = channel

    def run(self) -> None:
        stub = job_service_pb2_grpc.JobServiceStub(self._channel)
        request = job_service_pb2.WatchJobRequest(name="jobs/a")
        for step in watch(stub, "the gateway", request, max_resumes=1000, sleep=self._sleep):
            self.has_seen_the_end = has_ended(step.job)

    def _sleep(self, _seconds: float) -> None:
        self.broke.release()
        threading.Event().wait(0.05)


def test_watch_comes_back_after_a_gateway_that_was_killed_in_silence() -> None:
    address = f"{HOST}:{choose_ports(['gateway'])['gateway']}"
    with open_channel(address) as channel:
        watched = Watched(channel)
        with gateway(address, "breaks"):
            watched.start()
            assert watched.broke.acquire(timeout=PATIENCE_SECONDS)
        with gateway(address, "silent") as said:
            assert next(said).strip() == "watched"
        while watched.broke.acquire(blocking=False):
            pass
        for _ in range(REFUSALS):
            assert watched.broke.acquire(timeout=PATIENCE_SECONDS), "it waits for a gateway that is gone"
        with gateway(address, "ends"):
            watched.join(PATIENCE_SECONDS)
        assert watched.has_seen_the_end
