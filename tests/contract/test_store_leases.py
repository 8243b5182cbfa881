"""`services.core.ports.LeaseStore`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from services.core.ports import Store
from tests.contract.samples import LATER, NOW, at_once

AFTER = LATER + timedelta(milliseconds=1)


def test_one_holder_has_the_lease_until_it_ends(store: Store) -> None:
    assert store.acquire_lease("sweep", "a", LATER, NOW)
    assert not store.acquire_lease("sweep", "b", LATER, NOW)
    assert store.acquire_lease("sweep", "b", AFTER, AFTER)
    assert not store.acquire_lease("sweep", "a", AFTER, AFTER)


def test_the_holder_extends_it(store: Store) -> None:
    assert store.acquire_lease("sweep", "a", LATER, NOW)
    assert store.acquire_lease("sweep", "a", AFTER + timedelta(hours=1), NOW)
    assert not store.acquire_lease("sweep", "b", AFTER, AFTER)


def test_names_are_apart(store: Store) -> None:
    assert store.acquire_lease("sweep", "a", LATER, NOW)
    assert store.acquire_lease("other", "b", LATER, NOW)


def test_only_the_holder_releases_it(store: Store) -> None:
    assert store.acquire_lease("sweep", "a", LATER, NOW)
    store.release_lease("sweep", "b")
    assert not store.acquire_lease("sweep", "b", LATER, NOW)
    store.release_lease("sweep", "a")
    store.release_lease("sweep", "a")
    assert store.acquire_lease("sweep", "b", LATER, NOW)


def test_of_many_at_once_one_gets_it(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    for turn in range(5):
        taken = at_once(
            [
                partial(stores[holder % 2].acquire_lease, f"sweep {turn}", str(holder), LATER, NOW)
                for holder in range(8)
            ]
        )
        assert sum(taken) == 1


def test_a_lease_outlives_its_process(open_store: Callable[[], Store]) -> None:
    first = open_store()
    assert first.acquire_lease("sweep", "a", LATER, NOW)
    first.close()
    assert not open_store().acquire_lease("sweep", "b", LATER, NOW)


def test_ended_leases_are_forgotten(store: Store) -> None:
    assert store.acquire_lease("ended", "a", LATER, NOW)
    assert store.acquire_lease("held", "a", AFTER, NOW)
    assert store.remove_leases(AFTER) == 1
    assert store.remove_leases(AFTER) == 0
    assert not store.acquire_lease("held", "b", AFTER, NOW)
    assert store.acquire_lease("ended", "b", LATER, NOW)
