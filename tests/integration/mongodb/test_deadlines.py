"""A client's deadline reaches MongoDB: no thread waits for a silent server for a client that has gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from kmeans.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from services.backends.mongodb import MongoStore
from services.backends.open import open_objects, open_queue
from services.core.settings import Settings
from services.gateway.server import Gateway
from tests.chaos.proxy import Proxy
from tests.contract.samples import make_dataset, make_job

THREADS = 4


@pytest.fixture
def store(proxy: Proxy) -> Iterator[MongoStore]:
    """With the timeouts that the service has by itself: a minute for a server that says nothing."""
    store = MongoStore(
        f"mongodb://127.0.0.1:{proxy.port}/deadlines?directConnection=true&w=majority&journal=true"
    )
    yield store
    proxy.mend()
    store.close()


@pytest.mark.parametrize("method", ["GetJob", "CancelJob"])
def test_calls_leave_a_silent_server(proxy: Proxy, store: MongoStore, tmp_path: Path, method: str) -> None:
    job = store.insert_job(make_job(store.insert_dataset(make_dataset(owner="")), owner=""))
    queue, objects = open_queue("memory://"), open_objects(f"file://{tmp_path}/objects")
    gateway = Gateway(store, queue, objects, Settings(rpc_threads=THREADS))
    port = gateway.start("127.0.0.1:0")
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        call = getattr(stub, method)
        request_type = getattr(job_service_pb2, f"{method}Request")
        request = request_type(name=f"jobs/{job.id}")
        proxy.stall()
        codes = {each.code() for each in [call.future(request, timeout=1) for _ in range(THREADS)]}
        assert codes <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
        # Needs a thread and no store. Left to itself, the driver would take the server for silent after 20 s.
        with pytest.raises(grpc.RpcError) as refused:
            call(request_type(name="nonsense"), timeout=12)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        proxy.mend()
        answer = stub.GetJob(job_service_pb2.GetJobRequest(name=f"jobs/{job.id}"), timeout=60)
        assert answer.state == job_pb2.JOB_STATE_PENDING
    gateway.stop(0)
    queue.close()
    objects.close()
