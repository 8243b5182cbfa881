"""S3 without a server: URLs, keys, and what the client's exceptions become."""

from __future__ import annotations

import socket
from contextvars import Context
from datetime import UTC, datetime

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    FlexibleChecksumError,
    NoCredentialsError,
    ReadTimeoutError,
)

from services.backends.open import open_objects
from services.backends.s3 import S3Objects
from services.backends.s3.failures import translated
from services.backends.s3.location import S3Location
from services.core.datasets import original_key
from services.core.deadline import set_deadline
from services.core.errors import DataLoss, InvalidInput, NotFound, ObjectsUnavailable, ServiceError

KEY = original_key("0a1b")


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("s3://bucket", ""),
        ("s3://bucket/", ""),
        ("s3://bucket/a", "a/"),
        ("s3://bucket/a/b/", "a/b/"),
        ("S3://bucket/a%2Db", "a-b/"),
    ],
)
def test_a_url_names_a_bucket_and_a_prefix(url: str, prefix: str) -> None:
    location = S3Location.parse(url)
    assert (location.bucket, location.prefix) == ("bucket", prefix)
    assert location.own_key(location.full_key(KEY)) == KEY
    assert location.full_key(KEY) == prefix + KEY


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///key",
        "s3://Bucket",
        "s3://AKIA:hunter2@bucket/a",
        "s3://bucket:9000/a",
        "s3://bucket/a?secret=hunter2",
        "s3://bucket/a#hunter2",
        "s3://bucket/../a",
        "s3://bucket/a b",
    ],
)
def test_other_urls_are_refused_without_being_shown(url: str) -> None:
    with pytest.raises(InvalidInput, match="is written s3://bucket") as caught:
        open_objects(url)
    assert caught.value.reason == "BAD_BACKEND_URL"
    assert "hunter2" not in str(caught.value)


def test_an_endpoint_that_is_none_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMEANS_S3_ENDPOINT_URL", "hunter2:9000")
    with pytest.raises(InvalidInput, match="KMEANS_S3_ENDPOINT_URL") as caught:
        open_objects("s3://bucket")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "/a", "../a", "a/../b", "a//b", "a/", ".a", "a b", "ä", "a" * 300])
def test_keys_that_the_service_does_not_make_are_refused(key: str) -> None:
    objects = S3Objects("s3://bucket/a", "http://127.0.0.1:1")
    for call in (objects.exists, objects.open, objects.delete):
        with pytest.raises(InvalidInput):
            call(key)
    with pytest.raises(InvalidInput):
        objects.put(key, [b"abc"])
    objects.close()


@pytest.mark.parametrize("prefix", ["../", "/", "datasets/../", ".a/", "a//"])
def test_prefixes_that_lead_out_are_refused(prefix: str) -> None:
    objects = S3Objects("s3://bucket/a", "http://127.0.0.1:1")
    with pytest.raises(InvalidInput):
        objects.list_keys(prefix, datetime.now(UTC))
    objects.close()


def test_strangers_in_the_bucket_are_not_objects() -> None:
    location = S3Location.parse("s3://bucket/a")
    assert location.own_key("b/datasets/x") is None
    assert location.own_key("a/.DS_Store") is None
    assert location.own_key("a/my notes.txt") is None


def answered(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "hunter2"}}, "GetObject")


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (answered("NoSuchKey"), NotFound, "no object datasets/"),
        (answered("404"), NotFound, "no object datasets/"),
        (answered("NoSuchBucket"), ObjectsUnavailable, "does not exist. Create"),
        (answered("AccessDenied"), ObjectsUnavailable, "AWS_ACCESS_KEY_ID"),
        (answered("403"), ObjectsUnavailable, "AWS_ACCESS_KEY_ID"),
        (answered("SignatureDoesNotMatch"), ObjectsUnavailable, "AWS_SECRET_ACCESS_KEY"),
        (answered("RequestTimeTooSkewed"), ObjectsUnavailable, "clock"),
        (answered("SlowDown"), ObjectsUnavailable, "overloaded"),
        (answered("InternalError"), ObjectsUnavailable, "InternalError"),
        (NoCredentialsError(), ObjectsUnavailable, "no credentials"),
        (EndpointConnectionError(endpoint_url="hunter2"), ObjectsUnavailable, "does not answer"),
        (ReadTimeoutError(endpoint_url="hunter2"), ObjectsUnavailable, "does not answer"),
        (FlexibleChecksumError(error_msg="hunter2"), DataLoss, "damaged"),
        (BotoCoreError(), ObjectsUnavailable, "does not answer"),
    ],
)
def test_exceptions_of_the_client_are_the_service_s(
    error: Exception, kind: type[ServiceError], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence) as caught, translated("bucket", KEY):
        raise error
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("read", ["exists", "open"])
def test_after_the_deadline_of_a_call_nothing_is_read(monkeypatch: pytest.MonkeyPatch, read: str) -> None:
    """Not even once: with a server that accepts and says nothing, each attempt would take a minute."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        objects = S3Objects("s3://bucket", f"http://127.0.0.1:{silent.getsockname()[1]}")

        def too_late() -> None:
            set_deadline(0.0)
            getattr(objects, read)(KEY)

        with pytest.raises(ObjectsUnavailable, match="deadline of the call has passed"):
            Context().run(too_late)
        objects.close()
