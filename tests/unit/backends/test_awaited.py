"""Backends that are handed out before they are open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.backends.assembly import Backends, open_backends
from services.backends.awaited import AwaitedBackends
from services.core.errors import ObjectsUnavailable, QueueUnavailable, StoreUnavailable, Unavailable

USES: list[Callable[[Backends], object]] = [
    lambda backends: backends.store.ping(),
    lambda backends: backends.queue.slots(),
    lambda backends: backends.objects.exists("datasets/a/original"),
    lambda backends: list(backends.objects.list_keys("", None)),  # type: ignore[arg-type]
    lambda backends: backends.queue.name,
]


@pytest.mark.parametrize("use", USES)
def test_every_use_says_why_it_cannot_be(use: Callable[[Backends], object]) -> None:
    awaited = AwaitedBackends()
    with pytest.raises(StoreUnavailable, match="only just begun"):
        use(awaited.backends)
    awaited.note(QueueUnavailable("The broker sleeps.", "QUEUE_ASLEEP"))
    for _ in range(2):
        with pytest.raises(QueueUnavailable, match="sleeps") as refused:
            use(awaited.backends)
        assert refused.value.reason == "QUEUE_ASLEEP"


def test_what_is_raised_is_nobody_elses() -> None:
    awaited = AwaitedBackends()
    awaited.note(ObjectsUnavailable("There is no bucket."))
    raised: list[Unavailable] = []
    for _ in range(2):
        with pytest.raises(ObjectsUnavailable) as refused:
            awaited.backends.store.ping()
        raised.append(refused.value)
    assert raised[0] is not raised[1]


def test_what_was_handed_out_before_works_once_they_are_open(tmp_path: Path) -> None:
    awaited = AwaitedBackends()
    handed_out = awaited.backends
    opened = open_backends(
        store_url=f"sqlite://{tmp_path}/jobs.sqlite",
        queue_url="memory://",
        objects_url=f"file://{tmp_path}/objects",
        delivery_limit=1,
    )
    awaited.open(opened)
    handed_out.store.ping()
    assert handed_out.queue.name == opened.queue.name
    assert handed_out.objects.put("datasets/a/original", [b"bytes"]).size_bytes == 5
    assert opened.objects.exists("datasets/a/original")
    handed_out.close()
    opened.store.ping()
    opened.close()
