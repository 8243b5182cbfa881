"""`services.core.ports.ObjectStore` on S3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.backends.s3.failures import MISSING, error_code, too_late, translated, unavailable
from services.backends.s3.location import S3Location
from services.backends.s3.reader import S3Reader
from services.backends.s3.upload import Upload
from services.core.deadline import seconds_left
from services.core.errors import InvalidInput, NotFound
from services.core.ports import ObjectInfo

__all__ = ["S3Objects"]

_CONNECT_SECONDS = 5
_READ_SECONDS = 60
_ATTEMPTS = 4
_CONNECTIONS = 64
_BUFFER_BYTES = 64 << 10
# S3 tells times in whole seconds: an object is up to one second younger than it says.
_CLOCK_STEP = timedelta(seconds=1)
_PARTIAL_MAX_AGE = timedelta(days=1)


class S3Objects:
    """Objects under `s3://bucket/prefix`; credentials and region as AWS's own tools find them.

    A request is made at most four times, with pauses that grow (botocore's standard retries).
    """

    def __init__(self, url: str, endpoint_url: str | None = None) -> None:
        """Prepare to talk to AWS, or to the server at `endpoint_url`; nothing is asked yet.

        Raises:
            InvalidInput: BAD_BACKEND_URL when the URL or the endpoint is none.
        """
        self._location = S3Location.parse(url)
        self._bucket = self._location.bucket
        self._client = _client(endpoint_url or None)

    def put(self, key: str, chunks: Iterable[bytes | memoryview]) -> ObjectInfo:
        """See the port. Holds two parts of 8 MiB at most; replaces an object of the same key."""
        upload = Upload(self._client, self._bucket, self._location.full_key(key))
        upload.run(chunks)
        return ObjectInfo(key, upload.size_bytes, upload.sha256)

    def open(self, key: str) -> BufferedReader:
        """See the port. Reads what was there at the opening; a replaced object is ObjectsUnavailable."""
        full_key = self._location.full_key(key)
        try:
            reader = S3Reader(self._client, self._bucket, key, full_key)
        except NotFound:
            self.ping()  # without the bucket nothing can be said about its objects
            raise
        return BufferedReader(reader, _BUFFER_BYTES)

    def exists(self, key: str) -> bool:
        """See the port."""
        full_key = self._location.full_key(key)
        with translated(self._bucket):
            try:
                self._client.head_object(Bucket=self._bucket, Key=full_key)
            except ClientError as error:
                if error_code(error) not in MISSING:
                    raise
                self.ping()  # without the bucket nothing can be said about its objects
                return False
        return True

    def delete(self, key: str) -> None:
        """See the port."""
        full_key = self._location.full_key(key)
        with translated(self._bucket):
            self._client.delete_object(Bucket=self._bucket, Key=full_key)

    def list_keys(self, prefix: str, older_than: datetime) -> Iterator[str]:
        """See the port. In the order of the keys, a page at a time.

        Parts of uploads under the prefix that were killed a day ago are removed first.
        """
        full_prefix = self._location.full_prefix(prefix)
        self._remove_old_parts(full_prefix)
        return self._keys(full_prefix, older_than - _CLOCK_STEP)

    def ping(self) -> None:
        """See the port."""
        with translated(self._bucket):
            try:
                self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if error_code(error) in MISSING:
                    raise unavailable(
                        self._bucket, "does not exist. Create the bucket or correct KMEANS_OBJECTS_URL."
                    ) from error
                raise

    def close(self) -> None:
        """See the port."""
        self._client.close()

    def _keys(self, full_prefix: str, before: datetime) -> Iterator[str]:
        for page in self._pages("list_objects_v2", full_prefix):
            for item in page.get("Contents", ()):
                key = self._location.own_key(item["Key"])
                if key is not None and item["LastModified"] <= before:
                    yield key

    def _remove_old_parts(self, full_prefix: str) -> None:
        before = datetime.now(UTC) - _PARTIAL_MAX_AGE
        # Not in all of the bucket, which the service may share with strangers.
        for page in self._pages("list_multipart_uploads", full_prefix):
            for upload in page.get("Uploads", ()):
                if self._location.own_key(upload["Key"]) is None or upload["Initiated"] > before:
                    continue
                with translated(self._bucket):
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )

    def _pages(self, operation: str, full_prefix: str) -> Iterator[dict[str, Any]]:
        with translated(self._bucket):
            yield from self._client.get_paginator(operation).paginate(Bucket=self._bucket, Prefix=full_prefix)


def _client(endpoint_url: str | None) -> Any:
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
        # A bucket's name is part of the host on AWS; elsewhere that host has no address.
        s3={"addressing_style": "path" if endpoint_url else "auto"},
    )
    try:
        client = boto3.session.Session().client("s3", endpoint_url=endpoint_url, config=config)
        for reading in ("HeadObject", "GetObject"):
            client.meta.events.register(f"before-send.s3.{reading}", _read_in_time)
        return client
    except (BotoCoreError, ValueError) as error:
        problem = type(error).__name__  # the text may hold what was configured
    raise InvalidInput(
        f"No S3 client can be made ({problem}): check KMEANS_S3_ENDPOINT_URL (http://host:port), "
        "AWS_DEFAULT_REGION and AWS_PROFILE.",
        "BAD_BACKEND_URL",
    )


def _read_in_time(**_: Any) -> None:
    # Before each attempt; one that is under way ends by the read timeout, which belongs to all calls. Only
    # reads: what a call that was too late has begun is undone after its deadline.
    if seconds_left() == 0:
        raise too_late()
