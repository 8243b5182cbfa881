"""The three backends of a process, opened and closed together."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from services.backends.open import open_objects, open_queue, open_store
from services.core.ports import ObjectStore, Store, TaskQueue

__all__ = ["Backends", "open_backends"]


@dataclass(frozen=True, slots=True)
class Backends:
    """What every service works on; `close` lets go of it, the job store last."""

    store: Store
    queue: TaskQueue
    objects: ObjectStore
    _opened: ExitStack

    def close(self) -> None:
        """Close all three; idempotent."""
        self._opened.close()


def open_backends(*, store_url: str, queue_url: str, objects_url: str, delivery_limit: int) -> Backends:
    """Open all three, or none.

    Raises:
        InvalidInput: a URL is wrong; no URL is ever shown.
        Unavailable: a server does not answer.
    """
    with ExitStack() as opening:
        store = open_store(store_url)
        opening.callback(store.close)
        queue = open_queue(queue_url, delivery_limit)
        opening.callback(queue.close)
        objects = open_objects(objects_url)
        opening.callback(objects.close)
        return Backends(store, queue, objects, opening.pop_all())
