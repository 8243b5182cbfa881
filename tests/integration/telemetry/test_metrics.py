"""What the metrics of the three services say of a job and of calls, and that no label has endless values."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator

import grpc
import pytest
from kmeans.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from services.core.errors import FailedPrecondition
from services.telemetry.labels import LABELS, METHODS
from services.telemetry.observation import Observation
from tests.integration.jobs.conftest import until
from tests.integration.telemetry.conftest import PATIENCE_SECONDS, Observed

# Not ours to choose: of histograms and of what runs here, one value per process.
_OTHERS = {"le", "version"}


def scrape(observation: Observation) -> dict[str, Metric]:
    """Families by name, over HTTP, as Prometheus reads them."""
    server = observation.serve("127.0.0.1:0")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server}/metrics", timeout=PATIENCE_SECONDS) as answer:
            return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
    finally:
        observation._server.stop()


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """Sum over the samples of this name that have these labels."""
    return sum(
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@pytest.fixture
def call(embedded: Observed) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(embedded.address) as channel:
        yield channel


def test_a_job_is_told_by_all_three_services(embedded: Observed) -> None:
    embedded.run_job()
    until(lambda: embedded.worker.instruments.bundles_in_progress._value.get() == 0)
    gateway, scheduler, worker = map(scrape, embedded.all)
    assert value(gateway, "kmeans_jobs_created_total") == 1
    assert value(gateway, "kmeans_datasets_created_total") == 1
    assert value(gateway, "kmeans_uploaded_bytes_total") > 1000
    assert value(gateway, "kmeans_rpcs_total", method="JobService/CreateJob", code="OK") == 1
    upload = {"method": "DatasetService/UploadDataset", "code": "OK"}
    assert value(gateway, "kmeans_rpc_duration_seconds_count", **upload) == 1
    assert value(scheduler, "kmeans_jobs_ended_total", state="succeeded") == 1
    assert value(scheduler, "kmeans_sweeping") == 1
    bundles = value(scheduler, "kmeans_bundles_published_total")
    assert bundles >= 1
    assert value(worker, "kmeans_bundles_delivered_total", redelivered="false") == bundles
    assert value(worker, "kmeans_bundle_duration_seconds_count", outcome="acknowledged") == bundles
    assert value(worker, "kmeans_queue_latency_seconds_count") == bundles
    assert value(worker, "kmeans_claim_latency_seconds_count") == bundles
    assert value(worker, "kmeans_tasks_claimed_total") == value(worker, "kmeans_tasks_ended_total") == 24
    assert value(worker, "kmeans_task_duration_seconds_count", covariance="full-tied") == 4
    assert value(worker, "kmeans_kernel_iterations_total") >= 24
    assert value(worker, "kmeans_backend_call_duration_seconds_count", operation="finish_tasks") >= 1
    assert value(worker, "kmeans_build_info", service="worker") == 1


def test_jobs_and_tasks_are_counted_by_whoever_sweeps(embedded: Observed) -> None:
    embedded.run_job()
    census = embedded.scheduler._census
    assert census is not None
    census.count()
    scheduler, worker = scrape(embedded.scheduler), scrape(embedded.worker)
    assert value(scheduler, "kmeans_jobs", state="succeeded") == 1
    assert value(scheduler, "kmeans_jobs", state="running") == 0
    assert {sample.labels["state"] for sample in scheduler["kmeans_jobs"].samples} == {
        "pending",
        "running",
        "succeeded",
        "failed",
        "cancelled",
    }
    assert value(scheduler, "kmeans_tasks") == 0, "tasks of ended jobs are not counted"
    assert worker["kmeans_jobs"].samples == []
    census.note(False)
    assert scrape(embedded.scheduler)["kmeans_jobs"].samples == [], "another process sweeps now"


def test_calls_are_counted_by_method_and_code(embedded: Observed, call: grpc.Channel) -> None:
    stub = job_service_pb2_grpc.JobServiceStub(call)
    with pytest.raises(grpc.RpcError):
        stub.GetJob(job_service_pb2.GetJobRequest(name="jobs/nope"), timeout=PATIENCE_SECONDS)
    with pytest.raises(grpc.RpcError):
        list(stub.WatchJob(job_service_pb2.WatchJobRequest(name="x"), timeout=PATIENCE_SECONDS))
    for number in range(3):
        unknown = call.unary_unary(f"/kmeans.v1.JobService/Guess{number}")
        with pytest.raises(grpc.RpcError):
            unknown(b"", timeout=PATIENCE_SECONDS)
    told = embedded.gateway.instruments
    until(lambda: told.rpcs_in_flight.labels("JobService/WatchJob")._value.get() == 0)
    gateway = scrape(embedded.gateway)
    assert value(gateway, "kmeans_rpcs_total", method="JobService/GetJob", code="NOT_FOUND") == 1
    assert value(gateway, "kmeans_rpcs_total", method="JobService/WatchJob", code="INVALID_ARGUMENT") == 1
    assert value(gateway, "kmeans_rpcs_total", method="other", code="UNIMPLEMENTED") == 3


def test_what_is_an_alert_when_it_happens_once_is_told_before_it_happens(embedded: Observed) -> None:
    """Prometheus sees a rise between two values: a series that begins with 1 has none."""
    told = scrape(embedded.gateway)
    mistakes = {
        (sample.labels["method"], sample.labels["code"]): sample.value
        for sample in told["kmeans_rpcs"].samples
    }
    assert mistakes == {
        (method, code): 0 for method in METHODS for code in ("INTERNAL", "UNKNOWN", "DATA_LOSS")
    }
    embedded.run_job(max_k=1)
    failures = scrape(embedded.scheduler)["kmeans_backend_call_failures"].samples
    assert {sample.value for sample in failures} == {0}
    assert {"acquire_lease", "publish_bundles"} <= {sample.labels["operation"] for sample in failures}


def test_a_watch_that_is_left_is_a_stream_less(embedded: Observed, call: grpc.Channel) -> None:
    done = embedded.run_job(max_k=1)
    stub = job_service_pb2_grpc.JobServiceStub(call)
    long = job_pb2.JobSpec(dataset=done.spec.dataset, max_k=10, n_experiments=100, n_init=2000)
    job = stub.CreateJob(job_service_pb2.CreateJobRequest(spec=long), timeout=PATIENCE_SECONDS).job
    watch = stub.WatchJob(job_service_pb2.WatchJobRequest(name=job.name), timeout=PATIENCE_SECONDS)
    next(iter(watch))
    assert any(thread.name.startswith("watch") for thread in threading.enumerate()), (
        "not on the watches' pool"
    )
    streams = embedded.gateway.instruments.rpcs_in_flight.labels("JobService/WatchJob")
    assert streams._value.get() == 1
    watch.cancel()
    until(lambda: streams._value.get() == 0)
    left = value(
        scrape(embedded.gateway), "kmeans_rpcs_total", method="JobService/WatchJob", code="CANCELLED"
    )
    assert left >= 1
    stub.CancelJob(job_service_pb2.CancelJobRequest(name=job.name), timeout=PATIENCE_SECONDS)
    until(lambda: value(scrape(embedded.gateway), "kmeans_jobs_ended_total", state="cancelled") == 1)


def test_every_label_is_bounded(embedded: Observed, call: grpc.Channel) -> None:
    embedded.run_job()
    with pytest.raises(grpc.RpcError):
        call.unary_unary("/who.knows/What")(b"", timeout=PATIENCE_SECONDS)
    for observation in embedded.all:
        for family in observation.instruments.registry.collect():
            assert family.name.startswith(("kmeans_", "process_")), family.name
            for sample in family.samples:
                for label in sample.labels.keys() - _OTHERS:
                    assert sample.labels[label] in LABELS[label], (family.name, label)


def test_names_follow_the_conventions(embedded: Observed) -> None:
    for family in embedded.gateway.instruments.registry.collect():
        assert family.documentation.endswith((".", "bytes", "seconds", "descriptors")), family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
        assert not family.name.endswith("_total"), "counters get that by themselves"


def test_an_address_that_is_taken_is_told(embedded: Observed) -> None:
    port = embedded.gateway.serve("127.0.0.1:0")
    with pytest.raises(FailedPrecondition, match="KMEANS_METRICS_ADDRESS"):
        embedded.worker.serve(f"127.0.0.1:{port}")
