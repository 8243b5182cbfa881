"""`services.core.ports.ObjectStore`."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from services.core.datasets import original_key, table_key
from services.core.errors import NotFound
from services.core.ports import ObjectInfo, ObjectStore
from tests.contract.samples import at_once

KEY = original_key("0a1b")


def future() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def keys(objects: ObjectStore, prefix: str = "") -> list[str]:
    return sorted(objects.list_keys(prefix, future()))


def read(objects: ObjectStore, key: str) -> bytes:
    with objects.open(key) as file:
        return file.read()


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [b""],
        [b"a"],
        [b"a", b"", b"bc"],
        [memoryview(b"xa")[1:], memoryview(b"x")[1:]],
        [bytes(range(256)) * 4096] * 9,
    ],
    ids=["none", "empty", "one byte", "chunks", "views", "9 MiB"],
)
def test_what_is_put_comes_back(objects: ObjectStore, chunks: list[bytes | memoryview]) -> None:
    content = b"".join(chunks)
    assert objects.put(KEY, iter(chunks)) == ObjectInfo(
        KEY, len(content), hashlib.sha256(content).hexdigest()
    )
    assert objects.exists(KEY)
    assert read(objects, KEY) == content


def test_a_reader_can_seek(objects: ObjectStore) -> None:
    content = os.urandom(3 << 20)
    objects.put(KEY, [content])
    with objects.open(KEY) as file:
        assert file.seekable()
        assert file.seek(-10, io.SEEK_END) == len(content) - 10
        assert file.read() == content[-10:]
        assert file.read(1) == b""
        assert file.seek(1 << 20) == 1 << 20
        assert file.read(5) == content[1 << 20 : (1 << 20) + 5]
        assert file.tell() == (1 << 20) + 5
    assert file.closed


def test_what_is_put_is_there_for_other_processes(open_objects: Callable[[], ObjectStore]) -> None:
    open_objects().put(KEY, [b"abc"])
    assert read(open_objects(), KEY) == b"abc"


def test_a_missing_object_is_not_found(objects: ObjectStore) -> None:
    objects.put(KEY, [b"abc"])
    for key in (original_key("ff"), table_key("0a1b"), "datasets", "datasets/0a1b", f"{KEY}/more"):
        assert not objects.exists(key)
        with pytest.raises(NotFound) as caught, objects.open(key):
            pass
        assert caught.value.reason == "OBJECT_NOT_FOUND"
        objects.delete(key)
    assert read(objects, KEY) == b"abc"


def test_delete_removes_one_object(objects: ObjectStore) -> None:
    objects.put(KEY, [b"abc"])
    objects.put(table_key("0a1b"), [b"def"])
    objects.delete(KEY)
    objects.delete(KEY)
    assert not objects.exists(KEY)
    assert keys(objects) == [table_key("0a1b")]
    objects.put(KEY, [b"again"])
    assert read(objects, KEY) == b"again"


def test_a_put_replaces(objects: ObjectStore) -> None:
    objects.put(KEY, [b"first, and longer"])
    objects.put(KEY, [b"second"])
    assert read(objects, KEY) == b"second"
    assert keys(objects) == [KEY]


@pytest.mark.parametrize("error", [ValueError("bad row"), OSError(5, "pipe"), KeyboardInterrupt()])
def test_a_put_that_is_broken_off_leaves_nothing(objects: ObjectStore, error: BaseException) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * (6 << 20)
        raise error

    with pytest.raises(type(error)) as caught:
        objects.put(KEY, chunks())
    assert caught.value is error
    assert not objects.exists(KEY)
    assert keys(objects) == []


def test_a_put_that_is_broken_off_leaves_what_was_there(objects: ObjectStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"new"
        raise ValueError("bad row")

    objects.put(KEY, [b"old"])
    with pytest.raises(ValueError, match="bad row"):
        objects.put(KEY, chunks())
    assert read(objects, KEY) == b"old"


def test_an_object_is_seen_only_when_it_is_whole(objects: ObjectStore) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x" * (6 << 20)
            assert not objects.exists(KEY)
            assert keys(objects) == []

    objects.put(KEY, chunks())
    assert keys(objects) == [KEY]


def test_puts_at_once_leave_one_of_them_whole(objects: ObjectStore) -> None:
    contents = [bytes([number]) * (1 << 20) for number in range(6)]
    at_once(
        [
            partial(objects.put, KEY, [content[i : i + 65536] for i in range(0, 1 << 20, 65536)])
            for content in contents
        ]
    )
    assert read(objects, KEY) in contents
    assert keys(objects) == [KEY]


def test_puts_and_deletes_beside_each_other_do_not_disturb(objects: ObjectStore) -> None:
    def work(name: str) -> None:
        for _ in range(25):
            objects.put(f"datasets/0a1b/{name}", [b"abc"])
            objects.delete(f"datasets/0a1b/{name}")

    at_once([partial(work, name) for name in "abcd"])
    assert keys(objects) == []


def test_keys_are_listed_by_prefix(objects: ObjectStore) -> None:
    every = [original_key("aa"), original_key("ab"), original_key("b"), table_key("aa")]
    for key in every:
        objects.put(key, [b"abc"])
    assert keys(objects) == sorted(every)
    assert keys(objects, "datasets/") == sorted(every)
    assert keys(objects, "datasets/a") == sorted([every[0], every[1], every[3]])
    assert keys(objects, "datasets/aa/") == sorted([every[0], every[3]])
    assert keys(objects, every[0]) == [every[0]]
    assert keys(objects, "other/") == []
    assert keys(objects, "data") == sorted(every)


def test_only_old_keys_are_listed(objects: ObjectStore) -> None:
    objects.put(KEY, [b"abc"])
    past = datetime.now(UTC) - timedelta(hours=1)
    assert list(objects.list_keys("", past)) == []
    assert list(objects.list_keys("", datetime.max.replace(tzinfo=UTC))) == [KEY]


def test_ping_and_close(objects: ObjectStore) -> None:
    objects.ping()
    objects.close()
    objects.close()
