"""`services.core.ports.DatasetStore`."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.core.datasets import NO_CORRELATION, Correlation, Dataset
from services.core.errors import (
    Conflict,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    ServiceError,
    StoreUnavailable,
)
from services.core.jobs import Job
from services.core.pages import PageRequest
from services.core.ports import Store
from tests.contract.samples import NOW, at_once, make_dataset, make_job


def test_a_dataset_comes_back_as_it_was_put(store: Store) -> None:
    dataset = make_dataset()
    assert store.insert_dataset(dataset) == dataset
    assert store.get_dataset(dataset.id) == dataset


def test_a_dataset_outlives_the_process_that_put_it(open_store: Callable[[], Store]) -> None:
    first = open_store()
    dataset = first.insert_dataset(make_dataset())
    first.close()
    assert open_store().get_dataset(dataset.id) == dataset


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=9))
def test_floats_keep_their_bits(store: Store, values: list[float]) -> None:
    dataset = make_dataset(correlation=Correlation(("a",), (*values, -0.0, float("inf")), 3))
    store.insert_dataset(dataset)
    kept = store.get_dataset(dataset.id).correlation.values
    assert [_bits(value) for value in kept] == [_bits(value) for value in dataset.correlation.values]


def _bits(value: float) -> bytes:
    # Of NaN only that it is one has a meaning.
    return struct.pack("<d", value) if value == value else b"NaN"


@pytest.mark.parametrize("name", ["", "a'b\"; DROP TABLE datasets", "\N{SNOWMAN}\t\n", "a\0b"])
def test_names_keep_their_characters(store: Store, name: str) -> None:
    dataset = store.insert_dataset(make_dataset(display_name=name))
    assert store.get_dataset(dataset.id).display_name == name


def test_an_unknown_dataset_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        store.get_dataset("nope")
    assert caught.value.reason == "DATASET_NOT_FOUND"
    with pytest.raises(NotFound) as caught:
        store.delete_dataset("nope")
    assert caught.value.reason == "DATASET_NOT_FOUND"


def test_a_request_id_makes_an_upload_idempotent(store: Store) -> None:
    first = store.insert_dataset(make_dataset(request_id="r1"))
    again = make_dataset(request_id="r1", created_at=NOW + timedelta(hours=1))
    assert store.insert_dataset(again) == first
    assert store.list_datasets("ann", PageRequest()).items == (listed(first),)


@pytest.mark.parametrize("other", [{"sha256": "cd" * 32}, {"display_name": "other.csv"}])
def test_a_request_id_is_refused_for_another_upload(store: Store, other: dict[str, Any]) -> None:
    first = store.insert_dataset(make_dataset(request_id="r1"))
    with pytest.raises(Conflict) as caught:
        store.insert_dataset(make_dataset(request_id="r1", **other))
    assert caught.value.reason == "REQUEST_ID_REUSED"
    assert store.list_datasets(None, PageRequest()).items == (listed(first),)


def test_request_ids_of_two_owners_are_two(store: Store) -> None:
    ann = store.insert_dataset(make_dataset(request_id="r1"))
    bob = store.insert_dataset(make_dataset(request_id="r1", owner="bob", sha256="cd" * 32))
    assert {ann.id, bob.id} == {d.id for d in store.list_datasets(None, PageRequest()).items}


def test_a_dataset_is_found_by_the_request_that_made_it(store: Store) -> None:
    made = store.insert_dataset(make_dataset(request_id="r1"))
    assert store.dataset_of_request(made.owner, "r1") == made
    assert store.dataset_of_request("bob", "r1") is None
    assert store.dataset_of_request(made.owner, "r2") is None


def test_without_a_request_id_every_upload_is_new(store: Store) -> None:
    store.insert_dataset(make_dataset())
    store.insert_dataset(make_dataset())
    assert len(store.list_datasets(None, PageRequest()).items) == 2


def test_a_request_id_is_free_again_after_a_delete(store: Store) -> None:
    store.delete_dataset(store.insert_dataset(make_dataset(request_id="r1")).id)
    again = make_dataset(request_id="r1", display_name="other.csv")
    assert store.insert_dataset(again) == again


def test_one_request_id_in_many_threads_makes_one_dataset(store: Store) -> None:
    made = at_once([lambda: store.insert_dataset(make_dataset(request_id="r1")) for _ in range(8)])
    assert len({dataset.id for dataset in made}) == 1
    assert store.list_datasets(None, PageRequest()).items == (listed(made[0]),)


def test_the_newest_is_listed_first_and_ties_by_id(store: Store) -> None:
    datasets = [make_dataset(NOW + timedelta(milliseconds=i // 2)) for i in range(6)]
    for dataset in (datasets[i] for i in (3, 0, 5, 1, 4, 2)):
        store.insert_dataset(dataset)
    newest_first = tuple(sorted(map(listed, datasets), key=lambda d: (d.created_at, d.id), reverse=True))
    assert store.list_datasets(None, PageRequest()).items == newest_first


def test_an_owner_sees_only_their_own(store: Store) -> None:
    ann = store.insert_dataset(make_dataset())
    bob = store.insert_dataset(make_dataset(owner="bob"))
    nobody = store.insert_dataset(make_dataset(owner=""))
    assert store.list_datasets("ann", PageRequest()).items == (listed(ann),)
    assert store.list_datasets("", PageRequest()).items == (listed(nobody),)
    assert store.list_datasets("eve", PageRequest()).items == ()
    assert {d.id for d in store.list_datasets(None, PageRequest()).items} == {
        ann.id,
        bob.id,
        nobody.id,
    }


def test_pages_follow_each_other_while_rows_are_added_and_taken(store: Store) -> None:
    datasets = [store.insert_dataset(make_dataset(NOW + timedelta(milliseconds=i // 3))) for i in range(10)]
    expected = sorted(map(listed, datasets), key=lambda d: (d.created_at, d.id), reverse=True)
    seen: list[Dataset] = []
    token = ""
    while True:
        page = store.list_datasets("ann", PageRequest.parse(3, token, listing="ann"))
        assert len(page.items) <= 3
        seen.extend(page.items)
        # A newer one, which belongs to a page already seen, and the end of that page goes away.
        store.insert_dataset(make_dataset(NOW + timedelta(hours=1)))
        store.delete_dataset(page.items[-1].id)
        token = page.next_token
        if not token:
            break
    assert seen == expected


def test_a_listing_takes_no_memory_for_correlations(store: Store) -> None:
    """Those of a thousand wide tables would take gigabytes."""
    names = tuple(f"c{i}" for i in range(100))
    values = tuple(i / 7 for i in range(100 * 100))
    for _ in range(20):
        store.insert_dataset(make_dataset(correlation=Correlation(names, values, 10)))
    tracemalloc.start()
    try:
        page = store.list_datasets(None, PageRequest())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(page.items) == 20
    # One at a time has 0.9 MB.
    assert peak_bytes < 3_000_000
    assert store.get_dataset(page.items[0].id).correlation.values == values


def test_the_last_page_has_no_token(store: Store) -> None:
    for _ in range(3):
        store.insert_dataset(make_dataset())
    assert store.list_datasets(None, PageRequest(3)).next_token == ""
    assert store.list_datasets(None, PageRequest(2)).next_token != ""


def test_a_token_belongs_to_its_listing(store: Store) -> None:
    for _ in range(3):
        store.insert_dataset(make_dataset())
    token = store.list_datasets("ann", PageRequest.parse(1, "", listing="ann")).next_token
    with pytest.raises(InvalidInput):
        PageRequest.parse(1, token, listing="bob")


@pytest.mark.parametrize(
    "forged", [(), (1,), ("x", "y"), (1, 2), (1.5, "y"), (2**70, "y"), (True, "y"), (1, "y", "z")]
)
def test_a_forged_token_is_refused(store: Store, forged: tuple[str | int | float, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        store.list_datasets(None, PageRequest(after=forged))
    assert caught.value.reason == "BAD_PAGE_TOKEN"


def test_a_deleted_dataset_is_gone(store: Store) -> None:
    dataset = store.insert_dataset(make_dataset())
    store.delete_dataset(dataset.id)
    with pytest.raises(NotFound):
        store.get_dataset(dataset.id)
    assert store.list_datasets(None, PageRequest()).items == ()


def test_a_dataset_in_use_stays(store: Store) -> None:
    dataset = store.insert_dataset(make_dataset())
    job = store.insert_job(make_job(dataset))
    store.cancel_job(job.id, NOW)  # even an ended job needs it, for labels and for a retry
    with pytest.raises(FailedPrecondition) as caught:
        store.delete_dataset(dataset.id)
    assert caught.value.reason == "DATASET_IN_USE"
    store.delete_job(job.id)
    store.delete_dataset(dataset.id)


def test_of_a_delete_and_a_new_job_at_once_one_wins(open_store: Callable[[], Store]) -> None:
    one, two = open_store(), open_store()

    def insert(job: Job) -> str:
        try:
            one.insert_job(job)
        except NotFound as error:
            return error.reason
        return "inserted"

    def delete(dataset: Dataset) -> str:
        try:
            two.delete_dataset(dataset.id)
        except FailedPrecondition as error:
            return error.reason
        return "deleted"

    for _ in range(20):
        dataset = one.insert_dataset(make_dataset())
        outcome = at_once([partial(insert, make_job(dataset)), partial(delete, dataset)])
        assert outcome in (["inserted", "DATASET_IN_USE"], ["DATASET_NOT_FOUND", "deleted"])


def test_ping_and_close(store: Store) -> None:
    store.ping()
    store.close()
    store.close()
    for call in (store.ping, lambda: store.get_dataset("a"), lambda: store.delete_dataset("a")):
        with pytest.raises(StoreUnavailable):
            call()


def test_errors_are_the_services_own(store: Store) -> None:
    dataset = store.insert_dataset(make_dataset())
    with pytest.raises(ServiceError):
        store.insert_dataset(replace(dataset, display_name="same id"))
    assert store.get_dataset(dataset.id) == dataset


def listed(dataset: Dataset) -> Dataset:
    """As listings have it."""
    return replace(dataset, correlation=NO_CORRELATION)
