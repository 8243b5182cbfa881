"""The object store on a real S3 server, where the server, the network or the bytes fail."""

from __future__ import annotations

import io
import os
import secrets
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Self

import boto3
import numpy as np
import pyarrow as pa
import pytest
from botocore.exceptions import (
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
)
from pyarrow import parquet

from services.backends.s3 import S3Objects
from services.backends.s3 import objects as s3_objects
from services.backends.s3.reader import MOST_AHEAD_BYTES, S3Reader
from services.backends.s3.upload import PART_BYTES
from services.core.datasets import original_key, table_key
from services.core.errors import DataLoss, NotFound, ObjectsUnavailable
from tests.servers.fixtures import provided
from tests.servers.fleet import Servers

KEY = original_key("0a1b")
MIB = 1 << 20
EVER = datetime.max.replace(tzinfo=UTC)


@pytest.fixture
def prefix() -> str:
    return f"t-{secrets.token_hex(8)}"


@pytest.fixture
def objects(s3_url: str, prefix: str) -> Iterator[S3Objects]:
    store = S3Objects(f"{s3_url}/{prefix}", os.environ["KMEANS_S3_ENDPOINT_URL"])
    yield store
    for key in store.list_keys("", EVER):
        store.delete(key)
    store.close()


@pytest.fixture
def bucket(s3_url: str, prefix: str) -> Iterator[Any]:
    """The server behind the store's back."""
    resource = boto3.resource("s3", endpoint_url=os.environ["KMEANS_S3_ENDPOINT_URL"])
    yield resource.Bucket(s3_url.removeprefix("s3://"))
    resource.meta.client.close()


def uploads(bucket: Any, prefix: str) -> list[str]:
    listed = bucket.meta.client.list_multipart_uploads(Bucket=bucket.name, Prefix=f"{prefix}/")
    return [upload["UploadId"] for upload in listed.get("Uploads", ())]


def after(objects: S3Objects, operation: str, handle: Callable[..., Any], when: str = "before-call") -> None:
    objects._client.meta.events.register(f"{when}.s3.{operation}", handle)


def refuse(code: str) -> Callable[..., None]:
    def raising(**_event: Any) -> None:
        raise ClientError({"Error": {"Code": code}}, "Any")

    return raising


def read(objects: S3Objects, key: str = KEY) -> bytes:
    with objects.open(key) as file:
        return file.read()


@pytest.mark.parametrize("extra", [-1, 0, 1, PART_BYTES, 2 * PART_BYTES + 7])
def test_objects_around_the_size_of_a_part(objects: S3Objects, extra: int) -> None:
    size = PART_BYTES + extra
    content = Random(size).randbytes(size)
    assert objects.put(KEY, [content[:100], content[100:]]).size_bytes == size
    assert read(objects) == content


def test_an_upload_whose_source_fails_leaves_no_part(objects: S3Objects, bucket: Any, prefix: str) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(5):
            yield bytes(5 * MIB)
        assert uploads(bucket, prefix)
        raise ValueError("bad row")

    with pytest.raises(ValueError, match="bad row"):
        objects.put(KEY, chunks())
    assert uploads(bucket, prefix) == []
    assert not objects.exists(KEY)


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_an_upload_that_the_server_refuses_leaves_no_part(
    objects: S3Objects, bucket: Any, prefix: str, operation: str
) -> None:
    after(objects, operation, refuse("InternalError"))
    with pytest.raises(ObjectsUnavailable, match="InternalError"):
        objects.put(KEY, [bytes(20 * MIB)])
    assert uploads(bucket, prefix) == []
    assert not objects.exists(KEY)


def test_a_failing_abort_does_not_hide_the_cause(objects: S3Objects, bucket: Any, prefix: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(20 * MIB)
        raise ValueError("bad row")

    after(objects, "AbortMultipartUpload", refuse("InternalError"))
    with pytest.raises(ValueError, match="bad row") as caught:
        objects.put(KEY, chunks())
    assert "next removal of orphans" in caught.value.__notes__[0]
    assert len(uploads(bucket, prefix)) == 1


def test_parts_of_uploads_that_were_killed_go_when_old(
    objects: S3Objects, bucket: Any, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_key = f"{prefix}/{KEY}"
    bucket.meta.client.create_multipart_upload(Bucket=bucket.name, Key=full_key)
    assert list(objects.list_keys("", EVER)) == []
    assert len(uploads(bucket, prefix)) == 1
    monkeypatch.setattr(s3_objects, "_PARTIAL_MAX_AGE", timedelta(seconds=-10))
    assert list(objects.list_keys("", EVER)) == []
    assert uploads(bucket, prefix) == []


def test_uploads_of_strangers_in_the_same_bucket_stay(
    objects: S3Objects, bucket: Any, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_objects, "_PARTIAL_MAX_AGE", timedelta(seconds=-10))
    theirs = f"{prefix}/backups/disk.img"
    upload = bucket.meta.client.create_multipart_upload(Bucket=bucket.name, Key=theirs)["UploadId"]
    assert list(objects.list_keys("datasets/", EVER)) == []
    assert uploads(bucket, prefix) == [upload]
    bucket.meta.client.abort_multipart_upload(Bucket=bucket.name, Key=theirs, UploadId=upload)


def test_a_completion_whose_answer_was_lost_counts(objects: S3Objects) -> None:
    answers = []

    def again(**event: Any) -> int | None:
        answers.append(event["response"])
        return 0 if len(answers) == 1 else None

    after(objects, "CompleteMultipartUpload", again, when="needs-retry")
    content = bytes(20 * MIB)
    objects.put(KEY, [content])
    assert len(answers) == 2
    assert read(objects) == content


def test_what_is_stored_is_put_and_read_in_bounded_memory(objects: S3Objects) -> None:
    tracemalloc.start()
    try:
        objects.put(KEY, (bytes(MIB) for _ in range(96)))
        _, put_bytes = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        with objects.open(KEY) as file:
            while file.read(MIB):
                pass
        _, read_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert put_bytes < 4 * PART_BYTES
    assert read_bytes < 4 * MOST_AHEAD_BYTES


def test_reads_anywhere_are_those_of_a_file(objects: S3Objects) -> None:
    random = Random(7)
    content = random.randbytes(9 * MIB + 13)
    objects.put(KEY, [content])
    with objects.open(KEY) as file, io.BytesIO(content) as twin:
        for _ in range(60):
            offset = random.randrange(len(content) + 100)
            assert file.seek(offset) == twin.seek(offset)
            for size in random.choices([1, 10, 5000, 100_000, 3 * MIB, 6 * MIB], k=2):
                assert file.read(size) == twin.read(size)
                assert file.tell() == twin.tell()


def test_one_column_of_a_table_is_not_the_whole_object(objects: S3Objects) -> None:
    columns = {f"c{index}": np.random.default_rng(index).random(100_000) for index in range(20)}
    stored = io.BytesIO()
    parquet.write_table(pa.table(columns), stored, row_group_size=50_000, compression="none")
    size = objects.put(table_key("0a1b"), [stored.getvalue()]).size_bytes
    asked = []

    def count(**event: Any) -> None:
        first, last = event["params"]["headers"]["Range"].removeprefix("bytes=").split("-")
        asked.append(int(last) - int(first) + 1)

    after(objects, "GetObject", count)
    with objects.open(table_key("0a1b")) as file:
        table = parquet.ParquetFile(file, pre_buffer=False)
        column = table.read_row_group(1, columns=["c7"]).column("c7").to_numpy()
    assert np.array_equal(column, columns["c7"][50_000:])
    assert sum(asked) < size / 8
    assert max(asked) <= MOST_AHEAD_BYTES


@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_damaged_bytes_are_told(objects: S3Objects, bucket: Any, prefix: str, size: int) -> None:
    objects.put(KEY, [bytes(size)])
    stored = bucket.Object(f"{prefix}/{KEY}")
    tags = bucket.meta.client.get_object_tagging(Bucket=bucket.name, Key=stored.key)["TagSet"]
    stored.put(Body=bytes(size - 1) + b"x", Metadata=stored.metadata)
    bucket.meta.client.put_object_tagging(Bucket=bucket.name, Key=stored.key, Tagging={"TagSet": tags})
    with pytest.raises(DataLoss) as caught:
        read(objects)
    assert caught.value.reason == "OBJECT_DAMAGED"


def test_without_tags_large_objects_go_unverified(objects: S3Objects) -> None:
    after(objects, "PutObjectTagging", refuse("NotImplemented"))
    objects.put(KEY, [bytes(20 * MIB)])
    assert read(objects) == bytes(20 * MIB)
    after(objects, "GetObjectTagging", refuse("AccessDenied"))
    assert read(objects) == bytes(20 * MIB)


def test_an_object_that_changes_while_it_is_read_is_told(objects: S3Objects) -> None:
    objects.put(KEY, [bytes(MIB)])
    with objects.open(KEY) as file:
        file.read(10)
        objects.put(KEY, [b"x" * MIB])
        file.seek(MIB // 2)
        with pytest.raises(ObjectsUnavailable, match="by now"):
            file.read(10)
        objects.delete(KEY)
        with pytest.raises(NotFound):
            file.read(10)


class BodyThatFails:
    """An answer's body that raises this when it is read."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None: ...

    def read(self) -> bytes:
        raise self._error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FlexibleChecksumError(error_msg="Expected checksum hunter2"), DataLoss),
        (ReadTimeoutError(endpoint_url="http://hunter2"), ObjectsUnavailable),
        (HTTPClientError(error="hunter2"), ObjectsUnavailable),
    ],
)
def test_what_fails_while_a_body_is_read_is_told_in_our_words(
    objects: S3Objects, error: Exception, told: type[Exception]
) -> None:
    objects.put(KEY, [b"abc"])

    def fail(parsed: dict[str, Any], **_event: Any) -> None:
        parsed["Body"] = BodyThatFails(error)

    after(objects, "GetObject", fail, "after-call")
    with pytest.raises(told) as caught:
        read(objects)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("failures", [2, 3])
def test_answers_that_break_off_are_asked_for_again(
    objects: S3Objects, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    objects.put(KEY, [b"abc"])
    get, broken_off = S3Reader._get, []

    def breaking(reader: S3Reader, byte_range: str) -> bytes:
        if len(broken_off) < failures:
            broken_off.append(byte_range)
            raise IncompleteReadError(actual_bytes=1, expected_bytes=3)
        return get(reader, byte_range)

    monkeypatch.setattr(S3Reader, "_get", breaking)
    if failures == 2:
        assert read(objects) == b"abc"
    else:
        with pytest.raises(ObjectsUnavailable, match="breaks off"):
            read(objects)


def every_call(objects: S3Objects) -> list[Callable[[], object]]:
    return [
        objects.ping,
        lambda: objects.put(KEY, [b"abc"]),
        lambda: objects.put(KEY, [bytes(20 * MIB)]),
        lambda: objects.open(KEY),
        lambda: objects.exists(KEY),
        lambda: objects.delete(KEY),
        lambda: list(objects.list_keys("", EVER)),
    ]


def test_wrong_credentials_are_a_sentence_without_them(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
    with closing(S3Objects(s3_url, os.environ["KMEANS_S3_ENDPOINT_URL"])) as objects:
        for call in every_call(objects):
            with pytest.raises(ObjectsUnavailable, match="Check AWS_ACCESS_KEY_ID") as caught:
                call()
            assert "hunter2" not in str(caught.value) + str(caught.value.__cause__)


@pytest.mark.usefixtures("s3_url")
def test_a_missing_bucket_is_not_a_missing_object() -> None:
    bucket = f"none-{secrets.token_hex(8)}"
    with closing(S3Objects(f"s3://{bucket}", os.environ["KMEANS_S3_ENDPOINT_URL"])) as objects:
        calls = [objects.ping, lambda: objects.open(KEY), lambda: objects.exists(KEY)]
        for call in calls:
            with pytest.raises(ObjectsUnavailable, match=f"s3://{bucket} does not exist"):
                call()


def test_a_stopped_server_is_unavailability_until_it_is_back(
    private: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    provided(private.s3)
    for name, value in private.s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_objects, "_ATTEMPTS", 1)
    with closing(S3Objects(private.s3.url, os.environ["KMEANS_S3_ENDPOINT_URL"])) as objects:
        objects.put(KEY, [b"abc"])
        with objects.open(KEY) as file:
            private.s3.kill()
            with pytest.raises(ObjectsUnavailable, match="does not answer"):
                file.read()
        for call in every_call(objects):
            with pytest.raises(ObjectsUnavailable, match="does not answer"):
                call()
        private.s3.start()
        objects.ping()
        assert read(objects) == b"abc"


def test_a_server_that_dies_in_an_upload_is_unavailability(
    private: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    provided(private.s3)
    for name, value in private.s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_objects, "_ATTEMPTS", 1)

    def chunks() -> Iterator[bytes]:
        yield bytes(20 * MIB)
        private.s3.kill()
        yield bytes(20 * MIB)

    with closing(S3Objects(f"{private.s3.url}/dying", os.environ["KMEANS_S3_ENDPOINT_URL"])) as objects:
        with pytest.raises(ObjectsUnavailable, match="does not answer"):
            objects.put(KEY, chunks())
        private.s3.start()
        assert not objects.exists(KEY)
        objects.put(KEY, [b"abc"])
        assert read(objects) == b"abc"
