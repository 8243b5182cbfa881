"""Backends by URL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from services.backends.open import open_objects, open_queue, open_store
from services.core.errors import InvalidInput
from services.core.ports import ObjectStore, Store, TaskQueue
from tests.contract.samples import LONG
from tests.contract.test_queue import BUNDLES

OPENERS = [open_store, open_queue, open_objects]
Opener = Callable[[str], Store | TaskQueue | ObjectStore]


@pytest.mark.parametrize("written", ["plain", "a b#c?d", "a%20b%23", "50%25"])
def test_local_backends_open_where_the_url_says(tmp_path: Path, written: str) -> None:
    name = {"a%20b%23": "a b#", "50%25": "50%"}.get(written, written)
    with closing(open_store(f"sqlite://{tmp_path}/{written}/jobs.sqlite")) as store:
        store.ping()
    with closing(open_objects(f"FILE://{tmp_path}/{written}/objects")) as objects:
        objects.ping()
    assert (tmp_path / name / "jobs.sqlite").is_file()
    assert (tmp_path / name / "objects").is_dir()


def test_four_slashes_are_three(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/jobs.sqlite").close()
    assert (tmp_path / "jobs.sqlite").is_file()


def test_every_memory_queue_is_a_new_one() -> None:
    with closing(open_queue("memory://")) as one, closing(open_queue("memory://")) as two:
        assert one.name != two.name


def test_the_delivery_limit_reaches_the_queue() -> None:
    with closing(open_queue("memory://", delivery_limit=0)) as queue:
        queue.publish_bundles(BUNDLES[:1])
        delivery = queue.open_bundle_consumer(1).receive(LONG)
        assert delivery is not None
        delivery.reject("why")
        assert len(queue.receive_dead_bundles(0.0)) == 1


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "postgres://me:hunter2@host/db",
        "me:hunter2@host://x",
        "redis+tls://:hunter2@host",
        "sqlite:/path",
    ],
)
def test_other_urls_are_refused_without_being_shown(opener: Opener, url: str) -> None:
    with pytest.raises(InvalidInput, match="must begin with one of") as caught:
        opener(url)
    assert caught.value.reason == "BAD_BACKEND_URL"
    assert "hunter2" not in str(caught.value)


def test_a_refusal_names_what_is_accepted() -> None:
    with pytest.raises(InvalidInput, match=r"has postgres://.*sqlite://"):
        open_store("postgres://host/db")
    with pytest.raises(InvalidInput, match="memory://"):
        open_queue("sqlite:///path")
    with pytest.raises(InvalidInput, match="file://"):
        open_objects("/path")


@pytest.mark.parametrize(
    ("opener", "url"),
    [
        (open_store, "sqlite://"),
        (open_store, "sqlite:///"),
        (open_store, "sqlite://jobs.sqlite"),
        (open_store, "sqlite:///a%00b"),
        (open_objects, "file://host/path"),
    ],
)
def test_local_urls_need_a_path(opener: Opener, url: str) -> None:
    with pytest.raises(InvalidInput, match="three slashes"):
        opener(url)
