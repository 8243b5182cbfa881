"""Who may call what: every RPC, as nobody, with a token that is none, as somebody else and as the owner.

The RPCs come from the generated modules and from what a running gateway says it serves: one without a row
here fails. Through a real channel with TLS.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from kmeans.v1 import dataset_service_pb2, job_pb2, job_service_pb2

from kmeans_client import Client, KMeansError
from kmeans_client.errors import translated
from services.core.settings import Settings
from services.core.tokens import make_token, token_line
from services.gateway.server import Gateway
from tests.certificates import Authority
from tests.public_api import public_methods

ANN, BEN = make_token(), make_token()
METHODS: dict[str, MethodDescriptor] = {method.name: method for method in public_methods()}
assert len(METHODS) == len(public_methods()), "two services have a method of the same name"


@dataclass(frozen=True)
class Names:
    """What a request is about."""

    dataset: str
    job: str
    task: str


MISSING = Names(
    "datasets/00000000000000ff", "jobs/00000000000000ff", "jobs/00000000000000ff/tasks/0-1-full-tied"
)
D, J = dataset_service_pb2, job_service_pb2


@dataclass(frozen=True)
class Row:
    """One RPC.

    Attributes:
        request: made of the names it is about; several for a stream of them.
        state: which job of the owner it is called on: `ended`, `running`, or `none` beside the dataset.
        is_about_something: whether it names a resource, which somebody else must not find.
    """

    request: Callable[[Names], Message | list[Message]]
    state: str = "ended"
    is_about_something: bool = True


ROWS: dict[str, Row] = {
    "UploadDataset": Row(
        lambda names: [
            D.UploadDatasetRequest(header={"display_name": "t.csv"}),
            D.UploadDatasetRequest(chunk=b"a,b\n1,2\n"),
        ],
        is_about_something=False,
    ),
    "GetDataset": Row(lambda names: D.GetDatasetRequest(name=names.dataset)),
    "ListDatasets": Row(lambda names: D.ListDatasetsRequest(), is_about_something=False),
    "DeleteDataset": Row(lambda names: D.DeleteDatasetRequest(name=names.dataset), "none"),
    "SampleDataset": Row(lambda names: D.SampleDatasetRequest(name=names.dataset)),
    "GetCorrelation": Row(lambda names: D.GetCorrelationRequest(name=names.dataset)),
    "CreateJob": Row(lambda names: J.CreateJobRequest(spec=job_pb2.JobSpec(dataset=names.dataset))),
    "GetJob": Row(lambda names: J.GetJobRequest(name=names.job)),
    "ListJobs": Row(lambda names: J.ListJobsRequest(), is_about_something=False),
    "WatchJob": Row(lambda names: J.WatchJobRequest(name=names.job)),
    "CancelJob": Row(lambda names: J.CancelJobRequest(name=names.job), "running"),
    "RetryJob": Row(lambda names: J.RetryJobRequest(name=names.job, tasks=[names.task])),
    "DeleteJob": Row(lambda names: J.DeleteJobRequest(name=names.job)),
    "ListTasks": Row(lambda names: J.ListTasksRequest(parent=names.job)),
    "GetTask": Row(lambda names: J.GetTaskRequest(name=names.task)),
    "GetReport": Row(lambda names: J.GetReportRequest(name=names.job)),
    "GetAgreement": Row(lambda names: J.GetAgreementRequest(name=names.job)),
    "StreamLabels": Row(lambda names: J.StreamLabelsRequest(name=names.task)),
    "ExportLabels": Row(lambda names: J.ExportLabelsRequest(name=names.task)),
    "Predict": Row(
        lambda names: [
            J.PredictRequest(header={"task": names.task}),
            J.PredictRequest(rows={"values": [0.0, 0.0]}),
        ]
    ),
    "ExportModel": Row(lambda names: J.ExportModelRequest(name=names.task)),
}


# They tell nothing of anybody, and probes and tools have no token.
ANSWERED_TO_ANYBODY: dict[str, tuple[Message, type[Message]]] = {
    "grpc.health.v1.Health/Check": (health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse),
    "grpc.health.v1.Health/Watch": (health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse),
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": (
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionResponse,
    ),
}
# Methods of these services that the gateway does not have.
NOT_SERVED = {"grpc.health.v1.Health/List"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> Any:
    return authority.issue("gateway")


@pytest.fixture
def target(backends: Any, tls: Any, tmp_path: Path) -> Iterator[str]:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{token_line('ann', ANN)}\n{token_line('ben', BEN)}\n")
    settings = Settings(rpc_threads=8, tls_certificate=tls.certificate, tls_key=tls.key, tokens_file=tokens)
    gateway = Gateway(backends.store, backends.queue, backends.objects, settings)
    yield f"127.0.0.1:{gateway.start('127.0.0.1:0')}"
    gateway.stop(0)


@pytest.fixture
def ann(target: str, authority: Authority) -> Iterator[Client]:
    with Client(target, token=ANN, ca=authority.ca, timeout_seconds=20) as client:
        yield client


@pytest.fixture
def ben(target: str, authority: Authority) -> Iterator[Client]:
    with Client(target, token=BEN, ca=authority.ca, timeout_seconds=20) as client:
        yield client


@pytest.fixture
def channel(target: str, authority: Authority) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
    with grpc.secure_channel(target, credentials, options=[("grpc.enable_http_proxy", 0)]) as opened:
        yield opened


def make_names(ann: Client, bench: Any, table: bytes, state: str) -> Names:
    dataset = ann.upload_dataset(io.BytesIO(table), display_name="t.csv")
    if state == "none":
        return Names(dataset.name, MISSING.job, MISSING.task)
    spec = job_pb2.JobSpec(
        dataset=dataset.name,
        max_k=1,
        n_experiments=1,
        n_init=1,
        covariances=[job_pb2.COVARIANCE_FULL_TIED],
    )
    job = ann.create_job(spec).job.name
    if state == "running":
        bench.start(job)
    else:
        bench.run(job)
    return Names(dataset.name, job, f"{job}/tasks/0-1-full-tied")


def call(channel: grpc.Channel, method: str, names: Names, metadata: list[tuple[str, str]]) -> list[Any]:
    """The answers of any RPC, or KMeansError."""
    described = METHODS[method]
    request = ROWS[method].request(names)
    kind = (
        f"{'stream' if described.client_streaming else 'unary'}_"
        f"{'stream' if described.server_streaming else 'unary'}"
    )
    stub = getattr(channel, kind)(
        f"/{described.containing_service.full_name}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
    )
    with translated("here"):
        answer = stub(iter(request) if isinstance(request, list) else request, metadata=metadata, timeout=30)
        return list(answer) if described.server_streaming else [answer]


def refusal(channel: grpc.Channel, method: str, names: Names, token: str) -> KMeansError:
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with pytest.raises(KMeansError) as refused:
        call(channel, method, names, metadata)
    return refused.value


def without(names: Iterable[str], text: str) -> str:
    for name in names:
        text = text.replace(name.split("/")[1], "ID")
    return text


def test_every_rpc_has_a_row(channel: grpc.Channel) -> None:
    assert set(ROWS) == set(METHODS)
    (answer,) = anybody(channel, "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", [])
    served = {
        f"{service.name}/{method.name}"
        for service in answer.list_services_response.service
        for method in descriptor_pool.Default().FindServiceByName(service.name).methods
    }
    owned = {f"{method.containing_service.full_name}/{method.name}" for method in METHODS.values()}
    assert served - NOT_SERVED == owned | set(ANSWERED_TO_ANYBODY)


def anybody(channel: grpc.Channel, method: str, metadata: list[tuple[str, str]]) -> list[Any]:
    """The first answer of a method that asks for no token."""
    request, answer = ANSWERED_TO_ANYBODY[method]
    stub: Any = channel.stream_stream(
        f"/{method}", lambda message: message.SerializeToString(), answer.FromString
    )
    call = stub(iter([request]), metadata=metadata, timeout=30)
    first = next(call)
    call.cancel()
    return [first]


@pytest.mark.parametrize("method", ANSWERED_TO_ANYBODY)
def test_what_asks_for_no_token_says_the_same_to_everybody(method: str, channel: grpc.Channel) -> None:
    answers = [
        anybody(channel, method, [("authorization", f"Bearer {token}")] if token else [])
        for token in ("", make_token(), BEN, ANN)
    ]
    assert answers[0][0].ByteSize()
    assert answers.count(answers[0]) == len(answers)


@pytest.mark.parametrize("method", NOT_SERVED)
def test_what_is_not_served_is_served_to_nobody(method: str, channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(f"/{method}")(b"", timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("method", METHODS)
def test_who_may_call(
    method: str, ann: Client, bench: Any, table: bytes, channel: grpc.Channel, backends: Any
) -> None:
    row = ROWS[method]
    names = make_names(ann, bench, table, row.state)
    before = contents(backends)

    for token, reason in (("", "TOKEN_MISSING"), (make_token(), "TOKEN_INVALID")):
        refused = refusal(channel, method, names, token)
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)
    assert contents(backends) == before

    if row.is_about_something:
        refused = refusal(channel, method, names, BEN)
        assert refused.code is grpc.StatusCode.NOT_FOUND
        # Word for word what is said of an id that nobody has.
        unknown = refusal(channel, method, MISSING, BEN)
        ids = (names.dataset, names.job, MISSING.job)
        assert (without(ids, refused.message), refused.reason) == (
            without(ids, unknown.message),
            unknown.reason,
        )
        assert without(ids, str(dict(refused.metadata))) == without(ids, str(dict(unknown.metadata)))
        assert contents(backends) == before
    elif method != "UploadDataset":
        (answer,) = call(channel, method, names, [("authorization", f"Bearer {BEN}")])
        assert answer.ByteSize() == 0

    assert call(channel, method, names, [("authorization", f"Bearer {ANN}")]) != []


def contents(backends: Any) -> tuple[Any, ...]:
    from services.core.jobs import JobFilter
    from services.core.pages import PageRequest

    return (
        backends.store.list_datasets(None, PageRequest()).items,
        backends.store.list_jobs(JobFilter(), PageRequest()).items,
        backends.object_keys(),
    )


def test_lists_show_ones_own(ann: Client, ben: Client, bench: Any, table: bytes) -> None:
    anns, bens = make_names(ann, bench, table, "ended"), make_names(ben, bench, table, "running")
    for client, names in ((ann, anns), (ben, bens)):
        assert [dataset.name for dataset in client.list_datasets()] == [names.dataset]
        assert [job.name for job in client.list_jobs()] == [names.job]
    assert list(ann.list_jobs(dataset=bens.dataset)) == []


def test_a_request_id_is_ones_own(ann: Client, ben: Client, table: bytes) -> None:
    request_id = "6ad5e1a8-2d7c-4f6c-9f6b-0b8f0f2d4c11"
    made = [
        client.upload_dataset(io.BytesIO(table), display_name=f"{i}.csv", request_id=request_id)
        for i, client in enumerate((ann, ben))
    ]
    jobs = [
        client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=1 + i), request_id=request_id).job.name
        for i, (client, dataset) in enumerate(zip((ann, ben), made, strict=True))
    ]
    assert made[0].name != made[1].name
    assert jobs[0] != jobs[1]


def test_a_page_token_is_ones_own(
    ann: Client, ben: Client, bench: Any, table: bytes, channel: grpc.Channel
) -> None:
    for client in (ann, ann, ben):
        make_names(client, bench, table, "running")
    for path, request_type, answer_type in (
        ("/kmeans.v1.JobService/ListJobs", J.ListJobsRequest, J.ListJobsResponse),
        ("/kmeans.v1.DatasetService/ListDatasets", D.ListDatasetsRequest, D.ListDatasetsResponse),
    ):
        stub: Any = channel.unary_unary(path, request_type.SerializeToString, answer_type.FromString)
        token = stub(
            request_type(page_size=1), metadata=[("authorization", f"Bearer {ANN}")], timeout=20
        ).next_page_token
        assert token
        with pytest.raises(KMeansError) as refused, translated("here"):
            stub(
                request_type(page_size=1, page_token=token),
                metadata=[("authorization", f"Bearer {BEN}")],
                timeout=20,
            )
        assert refused.value.reason == "BAD_PAGE_TOKEN"


def test_tasks_of_somebody_elses_job_are_not_retried(
    ann: Client, ben: Client, bench: Any, table: bytes
) -> None:
    anns, bens = make_names(ann, bench, table, "ended"), make_names(ben, bench, table, "ended")
    with pytest.raises(KMeansError) as refused:
        ben.retry_job(bens.job, [anns.task])
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert ann.get_job(anns.job).state == job_pb2.JOB_STATE_SUCCEEDED
    with pytest.raises(KMeansError) as unknown:
        ben.retry_job(bens.job, [MISSING.task])
    assert without((anns.job,), refused.value.message) == without((MISSING.job,), unknown.value.message)
