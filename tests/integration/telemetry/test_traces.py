"""One trace per job: from the call that makes it, through the message, to the fits and what they write."""

from __future__ import annotations

import threading
from collections import Counter

import grpc
import pytest
from kmeans.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from structlog.testing import capture_logs

from services.core.errors import InvalidInput
from services.telemetry import tracing
from tests.integration.jobs.conftest import until
from tests.integration.telemetry.conftest import PATIENCE_SECONDS, Observed

CREATE = "JobService/CreateJob"


def trace_of(observed: Observed, root: str) -> dict[int, ReadableSpan]:
    """Every span of the trace in which this call is, by span id."""
    spans = observed.spans.get_finished_spans()
    (first,) = [span for span in spans if span.name == root]
    return {
        span.context.span_id: span
        for span in spans
        if span.context and first.context and span.context.trace_id == first.context.trace_id
    }


def ancestors(trace: dict[int, ReadableSpan], span: ReadableSpan) -> list[str]:
    """Names from a span up to the one without a parent in the trace."""
    names = []
    while span.parent is not None and span.parent.span_id in trace:
        span = trace[span.parent.span_id]
        names.append(span.name)
    return names


@pytest.mark.parametrize("services", ["embedded", "brokered"])
def test_a_job_is_one_trace(request: pytest.FixtureRequest, services: str) -> None:
    observed: Observed = request.getfixturevalue(services)
    job = observed.run_job()
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED
    tasks = job.task_counts.total
    # The last bundle is settled, and its span ended, after the job's watchers have heard of the end.
    until(lambda: observed.worker.instruments.bundles_in_progress._value.get() == 0)
    until(lambda: any(span.name == "job" for span in observed.spans.get_finished_spans()))
    trace = trace_of(observed, CREATE)
    names = Counter(span.name for span in trace.values())
    assert names["fit"] == tasks == 24
    assert names[CREATE] == names["plan job"] == names["job"] == names["store.insert_job"] == 1
    assert names["publish bundles"] >= 1
    assert names["store.finish_tasks"] >= names["run bundle"] >= 1
    fits = [span for span in trace.values() if span.name == "fit"]
    writes = [span for span in trace.values() if span.name == "store.finish_tasks"]
    for span in [*fits, *writes]:
        assert ancestors(trace, span) == ["run bundle", "publish bundles", CREATE]
    told = {dict(span.attributes or {})["kmeans.task"] for span in fits}
    assert len(told) == tasks
    # No other trace has anything of a job in it.
    assert sum(span.name in {"fit", "run bundle"} for span in observed.spans.get_finished_spans()) == (
        names["fit"] + names["run bundle"]
    )


def test_a_job_belongs_to_the_trace_of_its_client(embedded: Observed) -> None:
    trace_id, parent_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    embedded.run_job(max_k=1)
    with grpc.insecure_channel(embedded.address) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        jobs = stub.ListJobs(job_service_pb2.ListJobsRequest(), timeout=PATIENCE_SECONDS).jobs
        embedded.spans.clear()
        stub.CreateJob(
            job_service_pb2.CreateJobRequest(spec=jobs[0].spec),
            metadata=[("traceparent", f"00-{trace_id}-{parent_id}-01")],
            timeout=PATIENCE_SECONDS,
        )
        until(lambda: any(span.name == "job" for span in embedded.spans.get_finished_spans()))
    for span in embedded.spans.get_finished_spans():
        if span.name in {CREATE, "run bundle", "fit", "plan job"}:
            assert span.context is not None
            assert f"{span.context.trace_id:032x}" == trace_id


@pytest.mark.parametrize(
    "traceparent", ["", "nonsense", "00-0-0-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"]
)
def test_a_traceparent_that_is_none_begins_a_trace(embedded: Observed, traceparent: str) -> None:
    with grpc.insecure_channel(embedded.address) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.GetJob(
                job_service_pb2.GetJobRequest(name="jobs/nope"),
                metadata=[("traceparent", traceparent)],
                timeout=PATIENCE_SECONDS,
            )
    until(lambda: len(embedded.spans.get_finished_spans()) > 0)
    (span,) = [span for span in embedded.spans.get_finished_spans() if span.name == "JobService/GetJob"]
    assert span.parent is None
    assert dict(span.attributes or {})["rpc.grpc.status_code"] == 5


def test_a_collector_that_never_answers_holds_no_end_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod has ten seconds beside its work, and the exporter may take half a minute."""
    monkeypatch.setattr(tracing, "_CLOSE_SECONDS", 0.05)
    answers, ended = threading.Event(), threading.Event()

    class Silent(TracerProvider):
        def shutdown(self) -> None:
            answers.wait(PATIENCE_SECONDS)
            ended.set()

    with capture_logs() as lines:
        tracing.Tracing(Silent(shutdown_on_exit=False)).close()
    assert not ended.is_set()
    assert [line["event"] for line in lines] == ["the last spans are lost: the collector does not answer"]
    answers.set()
    assert ended.wait(PATIENCE_SECONDS)


def test_a_variable_that_cannot_be_used_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
    with pytest.raises(InvalidInput, match=r"OTEL_\* variables say: .*soon"):
        tracing.open_provider("worker")
