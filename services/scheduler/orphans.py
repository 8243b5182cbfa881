"""Orphans: objects of uploads that were cut off, which belong to no dataset and are removed in time.

An upload writes its objects before its record, so that no dataset ever lacks its bytes; a gateway that is
killed in between leaves objects that nobody asks for again. They are told from those of an upload under way
by their age, and by being orphans still when they are looked for a second time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta

import structlog

from services.core.clock import Clock
from services.core.errors import DataLoss, NotFound, Unavailable
from services.core.ports import ObjectStore, Store
from services.core.settings import Settings

__all__ = ["OrphanSweep"]

_PREFIX = "datasets/"
_LEASE = "orphans"
# Keys looked at in one go, so that the jobs of a large store do not wait for it.
_KEYS_AT_ONCE = 200
# More orphans than datasets, and more than these, are no accident of uploads: the store is another one.
_FEW = 10


class OrphanSweep:
    """One scheduler's part in it; of several, the holder of a lease does it."""

    def __init__(
        self, store: Store, objects: ObjectStore, settings: Settings, *, clock: Clock, holder_id: str
    ) -> None:
        """The first search begins at the first `run`."""
        self._store = store
        self._objects = objects
        self._clock = clock
        self._holder_id = holder_id
        self._age = timedelta(seconds=settings.orphan_seconds)
        self._pause = timedelta(seconds=settings.orphan_sweep_seconds)
        self._next_search: datetime | None = None
        self._keys: Iterator[str] | None = None
        self._known: dict[str, bool] = {}
        self._found: set[str] = set()
        self._found_before: set[str] = set()
        self._logger = structlog.get_logger("scheduler")

    def run(self) -> None:
        """Go on with the search, or begin another when it is time; an outage ends it until the next."""
        now = self._clock()
        try:
            if self._keys is None:
                if self._next_search is not None and now < self._next_search:
                    return
                self._begin(now)
            self._look_on()
        except Unavailable as error:
            self._keys = None
            self._logger.warning("search for orphans put off: a server does not answer", error=str(error))

    def release(self) -> None:
        """Let another scheduler search at once."""
        self._store.release_lease(_LEASE, self._holder_id)

    def _begin(self, now: datetime) -> None:
        # Set first, so that a search that fails is not tried again before its time.
        self._next_search = now + self._pause
        # Longer than until the next search: who has found orphans once is the one to find them again.
        if not self._store.acquire_lease(_LEASE, self._holder_id, now + 2 * self._pause, now):
            self._found_before = set()
            return
        self._known, self._found = {}, set()
        self._keys = self._objects.list_keys(_PREFIX, older_than=now - self._age)

    def _look_on(self) -> None:
        if self._keys is None:
            return
        keys = list(itertools.islice(self._keys, _KEYS_AT_ONCE))
        # Asked for after they were listed: a record is written after its objects.
        self._found.update(key for key in keys if not self._is_known(key.split("/")[1]))
        if len(keys) < _KEYS_AT_ONCE:
            self._keys = None
            self._conclude()

    def _conclude(self) -> None:
        datasets = list(self._known.values())
        orphans = datasets.count(False)
        if orphans > max(_FEW, len(datasets) - orphans):
            self._found_before = set()
            self._logger.error(
                "orphans are kept: there are more of them than datasets. Check that KMEANS_STORE_URL and "
                "KMEANS_OBJECTS_URL belong together, and whether the job store is an old backup",
                orphans=orphans,
                datasets=len(datasets) - orphans,
            )
            return
        for key in sorted(self._found & self._found_before):
            # Once more, for a record that an upload of a day has written since.
            if not self._ask(key.split("/")[1]):
                self._objects.delete(key)
                self._logger.info("removed an object of an upload that was cut off", key=key)
        self._found_before = self._found - self._found_before

    def _is_known(self, dataset_id: str) -> bool:
        if dataset_id not in self._known:
            self._known[dataset_id] = self._ask(dataset_id)
        return self._known[dataset_id]

    def _ask(self, dataset_id: str) -> bool:
        try:
            self._store.get_dataset(dataset_id)
        except NotFound:
            return False
        except DataLoss:
            return True  # its record is damaged, which is no reason to lose its bytes, too
        return True
