"""The folder of the directory object store: keys that are refused, leftovers, and a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.backends import directory
from services.backends.directory import DirectoryObjects
from services.core.datasets import original_key
from services.core.errors import InvalidInput, ObjectsUnavailable

ROOT = Path(__file__).parents[3]
KEY = original_key("0a1b")
EVER = datetime.max.replace(tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def objects(root: Path) -> DirectoryObjects:
    return DirectoryObjects(root)


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../escape",
        "datasets/../../escape",
        "datasets/..",
        "datasets/./a",
        "datasets//a",
        "datasets/a/",
        "~/a",
        "a\\b",
        "a\0b",
        "a\n",
        "a b",
        "ä",
        ".partial/a",
        "datasets/.hidden",
        "a" * 300,
        "a/" * 20 + "a",
    ],
)
def test_keys_that_the_service_does_not_make_are_refused(
    objects: DirectoryObjects, tmp_path: Path, key: str
) -> None:
    for call in (objects.exists, objects.open, objects.delete):
        with pytest.raises(InvalidInput):
            call(key)
    with pytest.raises(InvalidInput):
        objects.put(key, [b"abc"])
    assert files(tmp_path) == []


@pytest.mark.parametrize("prefix", ["../", "/", "datasets/../", ".partial/", "a//"])
def test_prefixes_that_lead_out_are_refused(objects: DirectoryObjects, prefix: str) -> None:
    with pytest.raises(InvalidInput):
        objects.list_keys(prefix, EVER)


def test_leftovers_of_killed_uploads_are_hidden_and_go_when_old(root: Path) -> None:
    objects = DirectoryObjects(root)
    objects.put(KEY, [b"abc"])
    old, new = root / ".partial" / "old", root / ".partial" / "new"
    for path in (old, new):
        path.write_bytes(b"cut sho")
    two_days = 2 * 24 * 3600
    os.utime(old, (old.stat().st_atime - two_days, old.stat().st_mtime - two_days))
    assert list(objects.list_keys("", EVER)) == [KEY]
    assert files(root) == [".partial/new", KEY]
    os.utime(new, (0, 0))
    DirectoryObjects(root)
    assert files(root) == [KEY]


def test_strangers_in_the_folder_are_not_objects(objects: DirectoryObjects, root: Path) -> None:
    objects.put(KEY, [b"abc"])
    (root / "datasets" / ".DS_Store").touch()
    (root / "my notes.txt").touch()
    assert list(objects.list_keys("", EVER)) == [KEY]


def test_folders_go_with_their_last_object(objects: DirectoryObjects, root: Path) -> None:
    objects.put(KEY, [b"abc"])
    objects.delete(KEY)
    assert [path.name for path in root.iterdir()] == [".partial"]


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from services.backends.directory import DirectoryObjects
from services.core.errors import ObjectsUnavailable

objects = DirectoryObjects(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    objects.put("datasets/0a1b/original", [b"x" * 300_000] * 9)
except ObjectsUnavailable as error:
    print(error)
"""


def test_a_full_disk_leaves_nothing(root: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(root)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "is full" in ended.stdout
    assert files(root) == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "is full"),
        (errno.EDQUOT, "is full"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "permissions"),
        (errno.EIO, "failed"),
    ],
)
@pytest.mark.parametrize("step", ["_write", "_sync_folder"])
def test_a_failing_disk_is_unavailability(
    objects: DirectoryObjects,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    sentence: str,
    step: str,
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(directory, step, fail)
    with pytest.raises(ObjectsUnavailable, match=sentence):
        objects.put(KEY, [b"abc"])
    if step == "_write":
        assert files(root) == []


def test_a_failing_read_is_unavailability(objects: DirectoryObjects) -> None:
    objects.put(KEY, [b"abc"])
    with objects.open(KEY) as file:
        folder = os.open("/", os.O_RDONLY)
        os.dup2(folder, file.fileno())  # reads of a folder fail
        os.close(folder)
        with pytest.raises(ObjectsUnavailable, match="failed"):
            file.read(1)
        with pytest.raises(ObjectsUnavailable, match="failed"):
            file.read()


def test_an_object_is_on_the_disk_before_it_has_its_name_and_then_the_name(
    objects: DirectoryObjects, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []

    def record(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path.relative_to(root).parts[0] if path != root else "", (root / KEY).exists()))

    monkeypatch.setattr(os, "fsync", record)
    objects.put(KEY, [b"abc"])
    assert synced == [(".partial", False), ("datasets", True), ("datasets", True), ("", True)]


def test_a_folder_that_cannot_be_made_is_unavailability(root: Path) -> None:
    root.touch()
    with pytest.raises(ObjectsUnavailable):
        DirectoryObjects(root)


def test_a_folder_that_went_away_does_not_answer(objects: DirectoryObjects, root: Path) -> None:
    (root / ".partial").rmdir()
    root.rmdir()
    with pytest.raises(ObjectsUnavailable):
        objects.ping()
    with pytest.raises(ObjectsUnavailable):
        objects.put(KEY, [b"abc"])
    with pytest.raises(ObjectsUnavailable):
        objects.list_keys("", EVER)
