"""Uploads through a real channel: what arrives is kept whole, what does not leaves nothing."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from kmeans.v1 import dataset_pb2, dataset_service_pb2, job_pb2
from pyarrow import parquet

from kmeans_client import Client, KMeansError
from kmeans_client.errors import decode
from services.core.clock import utc_now
from services.core.errors import InvalidTable
from services.core.pages import PageRequest
from services.gateway.errors import CallEnded
from services.gateway.uploads import Uploads

Messages = Callable[..., Iterator[dataset_service_pb2.UploadDatasetRequest]]


def is_empty(backends: Any) -> bool:
    return not backends.files() and not backends.store.list_datasets(None, PageRequest()).items


def as_parquet() -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table({"a": [1.0, 2.0, None], "b": ["x", "y", "z"]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "table_format"),
    [
        (b"a,b\n1,x\n2,y\n,z\n", dataset_pb2.TABLE_FORMAT_CSV),
        (b"a\tb\n1\tx\n2\ty\n\tz\n", dataset_pb2.TABLE_FORMAT_TSV),
        (gzip.compress(b"a,b\n1,x\n2,y\n,z\n", mtime=0), dataset_pb2.TABLE_FORMAT_CSV),
        (as_parquet(), dataset_pb2.TABLE_FORMAT_PARQUET),
    ],
    ids=["csv", "tsv", "gzip", "parquet"],
)
def test_a_table_is_kept_as_uploaded_and_as_parsed(
    client: Client, backends: Any, content: bytes, table_format: int
) -> None:
    sent: list[tuple[int, int | None]] = []
    dataset = client.upload_dataset(
        io.BytesIO(content),
        display_name="table",
        progress=lambda size_bytes, total_bytes: sent.append((size_bytes, total_bytes)),
    )
    assert dataset.display_name == "table"
    assert dataset.format == table_format
    assert dataset.size_bytes == len(content)
    assert dataset.sha256 == hashlib.sha256(content).hexdigest()
    assert dataset.row_count == 3
    assert [(column.name, column.missing_count) for column in dataset.columns] == [("a", 1), ("b", 0)]
    assert dataset.columns[1].text_value == "x"
    assert sent == [(len(content), len(content))]
    assert client.get_dataset(dataset.name) == dataset
    assert backends.object_keys() == {f"{dataset.name}/original", f"{dataset.name}/table.parquet"}
    with backends.objects.open(f"{dataset.name}/original") as original:
        assert original.read() == content


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1,2\n3\n", "Row 2"),
        (b"a,a\n1,2\n", "both called"),
        (bytes(range(256)) * 4, "bad"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-6], "bad"),
        (as_parquet()[:-20], "bad"),
    ],
    ids=["empty", "header only", "ragged", "duplicate", "binary", "cut gzip", "cut parquet"],
)
def test_a_bad_file_is_refused_and_leaves_nothing(
    client: Client, backends: Any, content: bytes, sentence: str
) -> None:
    with pytest.raises(KMeansError) as refused:
        client.upload_dataset(io.BytesIO(content), display_name="bad")
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.reason not in {"", "INTERNAL"}
    assert sentence in str(refused.value)
    assert is_empty(backends)


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ({"display_name": " "}, "header.display_name"),
        ({"display_name": "x" * 256}, "header.display_name"),
        ({"format": 77}, "header.format"),
        ({"size_bytes": -1}, "header.size_bytes"),
        ({"size_bytes": 5}, "header.size_bytes"),
        ({"size_bytes": 9}, "header.size_bytes"),
        ({"sha256": "abc"}, "header.sha256"),
        ({"sha256": "0" * 64}, "header.sha256"),
        ({"request_id": "first"}, "header.request_id"),
    ],
)
def test_a_wrong_header_names_its_field_and_leaves_nothing(
    datasets: Any, backends: Any, upload_messages: Messages, header: dict[str, Any], field: str
) -> None:
    error = refused_upload(datasets, upload_messages(b"a,b\n1,2\n"[:8], **header))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == [field]
    assert is_empty(backends)


@pytest.mark.parametrize("display_name", ["", "x" * 256], ids=["no name", "a long name"])
def test_every_wrong_field_of_a_header_is_named_at_once(
    datasets: Any, upload_messages: Messages, display_name: str
) -> None:
    error = refused_upload(
        datasets,
        upload_messages(display_name=display_name, format=77, size_bytes=-1, sha256="x", request_id="x"),
    )
    assert {violation.field for violation in error.violations} == {
        "header.display_name",
        "header.format",
        "header.size_bytes",
        "header.sha256",
        "header.request_id",
    }


def test_messages_out_of_order_are_refused(datasets: Any, backends: Any, upload_messages: Messages) -> None:
    header, chunk = upload_messages(b"a\n1\n")
    for messages, reason in (
        ([], "HEADER_MISSING"),
        ([chunk, header], "HEADER_MISSING"),
        ([header, header], "CHUNK_MISSING"),
        ([header, chunk, dataset_service_pb2.UploadDatasetRequest()], "CHUNK_MISSING"),
    ):
        assert refused_upload(datasets, iter(messages)).reason == reason
    assert is_empty(backends)


def test_limits_of_chunk_and_file(
    datasets: Any, backends: Any, settings: Any, upload_messages: Messages
) -> None:
    too_large = settings.max_upload_bytes + 1
    error = refused_upload(datasets, upload_messages(size_bytes=too_large))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPLOAD_TOO_LARGE")
    half = b"x" * (too_large // 2 + 1)
    error = refused_upload(datasets, upload_messages(half, half))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPLOAD_TOO_LARGE")
    error = refused_upload(datasets, upload_messages(b"x" * ((3 << 20) + 1)))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CHUNK_TOO_LARGE")
    assert is_empty(backends)


def test_the_same_request_id_and_bytes_are_one_dataset(client: Client, backends: Any) -> None:
    request_id = str(uuid.uuid4())
    first = client.upload_dataset(io.BytesIO(b"a\n1\n"), display_name="t", request_id=request_id)
    kept = backends.object_keys()
    again = client.upload_dataset(io.BytesIO(b"a\n1\n"), display_name="t", request_id=request_id.upper())
    assert again == first
    assert backends.object_keys() == kept
    assert list(client.list_datasets()) == [first]


@pytest.mark.parametrize("lost", [["original"], ["table.parquet"], ["original", "table.parquet"]], ids=str)
def test_the_same_upload_puts_back_objects_that_were_lost(
    client: Client, backends: Any, lost: list[str]
) -> None:
    request_id, content = str(uuid.uuid4()), b"a\n1\n2\n"
    first = client.upload_dataset(io.BytesIO(content), display_name="t", request_id=request_id)
    kept = backends.object_keys()
    for name in lost:
        backends.objects.delete(f"{first.name}/{name}")
    again = client.upload_dataset(io.BytesIO(content), display_name="t", request_id=request_id)
    assert again == first
    assert backends.object_keys() == kept
    with backends.objects.open(f"{first.name}/original") as original:
        assert original.read() == content
    assert list(client.sample_dataset(first.name).columns[0].numbers) == [1, 2]
    assert client.create_job(job_pb2.JobSpec(dataset=first.name, max_k=2)).planned_task_count


def test_a_table_is_put_back_in_the_format_of_its_record(
    datasets: Any, client: Client, backends: Any, upload_messages: Messages
) -> None:
    request_id, content = str(uuid.uuid4()), b"a,b\n1,2\n3,4\n"
    first = datasets.UploadDataset(upload_messages(content, request_id=request_id))
    backends.objects.delete(f"{first.name}/table.parquet")
    stated = upload_messages(content, request_id=request_id, format=dataset_pb2.TABLE_FORMAT_TSV)
    assert datasets.UploadDataset(stated) == first
    assert [column.name for column in client.sample_dataset(first.name).columns] == ["a", "b"]


@pytest.mark.parametrize("broken", ["parses.parse_table", "uploads.tempfile.TemporaryDirectory"])
@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "TEMPORARY_DISK_FULL"), (errno.EACCES, "TEMPORARY_FOLDER_UNUSABLE")],
)
def test_a_full_temporary_folder_is_named(
    client: Client, backends: Any, monkeypatch: pytest.MonkeyPatch, broken: str, number: int, reason: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"services.gateway.{broken}", fail)
    with pytest.raises(KMeansError) as refused:
        client.upload_dataset(io.BytesIO(b"a\n1\n"), display_name="t")
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.UNAVAILABLE, reason)
    assert f"temporary folder {tempfile.gettempdir()} " in str(refused.value)
    assert is_empty(backends)


@pytest.mark.parametrize(("content", "name"), [(b"a\n2\n", "t"), (b"a\n1\n", "other")])
def test_the_same_request_id_for_something_else_is_a_conflict(
    client: Client, backends: Any, content: bytes, name: str
) -> None:
    request_id = str(uuid.uuid4())
    client.upload_dataset(io.BytesIO(b"a\n1\n"), display_name="t", request_id=request_id)
    kept = backends.object_keys()
    with pytest.raises(KMeansError) as refused:
        client.upload_dataset(io.BytesIO(content), display_name=name, request_id=request_id)
    assert refused.value.code is grpc.StatusCode.ALREADY_EXISTS
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert backends.object_keys() == kept


def test_without_request_id_every_upload_is_its_own(datasets: Any, upload_messages: Messages) -> None:
    names = {datasets.UploadDataset(upload_messages(b"a\n1\n")).name for _ in range(2)}
    assert len(names) == 2


def test_a_client_that_goes_away_leaves_nothing(
    datasets: Any, backends: Any, upload_messages: Messages, settle: Callable[[Callable[[], bool]], None]
) -> None:
    stalled = threading.Event()

    def stall() -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
        yield from upload_messages(b"a,b\n" + b"1,2\n" * 1000)
        stalled.wait(20)

    call = datasets.UploadDataset.future(stall())
    settle(lambda: bool(backends.files()))
    call.cancel()
    settle(lambda: is_empty(backends))
    stalled.set()
    assert call.cancelled()


def test_stalled_uploads_leave_threads_for_everybody_else(
    datasets: Any, client: Client, backends: Any, settings: Any, upload_messages: Messages, settle: Any
) -> None:
    stalled = threading.Event()

    def stall() -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
        yield from upload_messages(b"a\n1\n")
        stalled.wait(20)

    slots = settings.rpc_threads // 2
    calls = [datasets.UploadDataset.future(stall()) for _ in range(slots)]
    settle(lambda: len(backends.files()) == slots)
    assert refused_upload(datasets, upload_messages(b"a\n1\n")).reason == "TOO_MANY_STREAMS"
    assert list(client.list_datasets()) == []
    stalled.set()
    assert len({call.result(timeout=20).name for call in calls}) == slots


def test_a_deadline_that_passes_leaves_nothing(
    datasets: Any, backends: Any, gateway: Any, upload_messages: Messages
) -> None:
    stalled = threading.Event()

    def stall() -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
        yield from upload_messages(b"a,b\n" + b"1,2\n" * 1000)
        stalled.wait(20)

    with pytest.raises(grpc.RpcError) as failed:
        datasets.UploadDataset(stall(), timeout=0.3)
    stalled.set()
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    gateway.stop(10)
    assert is_empty(backends)


def test_a_store_that_does_not_answer_is_unavailable_with_a_hint(
    datasets: Any, backends: Any, upload_messages: Messages
) -> None:
    backends.store.close()
    error = refused_upload(datasets, upload_messages(b"a\n1\n"))
    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert error.reason == "STORE_CLOSED"
    assert error.retry_after_seconds == 1


def test_a_file_is_uploaded_by_its_path_under_its_own_name(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "soil.csv"
    path.write_bytes(b"a\n1\n")
    assert client.upload_dataset(path).display_name == "soil.csv"
    with path.open("rb") as opened:
        assert client.upload_dataset(opened).display_name == "soil.csv"
    with pytest.raises(FileNotFoundError):
        client.upload_dataset(tmp_path / "none.csv")


def test_a_file_that_cannot_be_read_to_its_end_leaves_nothing(
    client: Client, backends: Any, settle: Any
) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError("the disk is gone")
            return super().read(4)

    with pytest.raises(OSError, match="the disk is gone"):
        client.upload_dataset(Broken(b"a,b\n1,2\n"), display_name="t")
    settle(lambda: is_empty(backends))


@pytest.mark.parametrize("step", [1, 2])
def test_an_upload_nobody_waits_for_any_more_leaves_nothing(
    backends: Any, upload_messages: Messages, step: int
) -> None:
    uploads = Uploads(backends.store, backends.objects, utc_now, max_upload_bytes=1000)
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == step:
            raise CallEnded("gone")

    with pytest.raises(CallEnded):
        uploads.receive("", upload_messages(b"a\n1\n"), check)
    assert is_empty(backends)


def refused_upload(
    datasets: Any, messages: Iterator[dataset_service_pb2.UploadDatasetRequest]
) -> KMeansError:
    with pytest.raises(grpc.RpcError) as refused:
        datasets.UploadDataset(messages, timeout=20)
    return decode(refused.value, "here")


@pytest.mark.parametrize(("max_rows", "fits"), [(150, True), (149, False)])
def test_a_table_of_too_many_rows(
    backends: Any, table: bytes, upload_messages: Messages, max_rows: int, fits: bool
) -> None:
    uploads = Uploads(backends.store, backends.objects, utc_now, max_upload_bytes=200_000, max_rows=max_rows)
    if fits:
        assert uploads.receive("", upload_messages(table), lambda: None).row_count == max_rows
        return
    with pytest.raises(InvalidTable, match="149 rows") as refused:
        uploads.receive("", upload_messages(table), lambda: None)
    assert refused.value.reason == "TOO_LARGE"
    assert is_empty(backends)
