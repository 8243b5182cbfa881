"""A damaged record is told and left out of listings; it hides nothing of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from structlog.testing import capture_logs

from services.core.errors import DataLoss
from services.core.jobs import JobFilter
from services.core.pages import Page, PageRequest
from services.core.ports import Store
from tests.contract.samples import start_job

T = TypeVar("T")


@pytest.mark.parametrize("size", [1, 2, 50])
def test_listings_leave_a_damaged_record_out_and_tell_it(
    store: Store, damage: Callable[[str, str], None], size: int
) -> None:
    made = [start_job(store, 1)[0] for _ in range(3)]
    damaged = made[1]
    damage("jobs", damaged.id)
    damage("datasets", damaged.spec.dataset_id)
    sound = {job.id for job in made} - {damaged.id}
    with capture_logs() as logs:
        assert {job.id for job in store.unfinished_jobs()} == sound
        assert {job.id for job in every(lambda page: store.list_jobs(JobFilter(), page), size)} == sound
        datasets = every(lambda page: store.list_datasets(None, page), size)
        assert {dataset.id for dataset in datasets} == {
            job.spec.dataset_id for job in made if job.id in sound
        }
    assert [(log["log_level"], log["id"]) for log in logs] == [
        ("error", damaged.id),
        ("error", damaged.id),
        ("error", damaged.spec.dataset_id),
    ]
    with pytest.raises(DataLoss, match=f"job {damaged.id}"):
        store.get_job(damaged.id)
    with pytest.raises(DataLoss, match=f"dataset {damaged.spec.dataset_id}"):
        store.get_dataset(damaged.spec.dataset_id)


def every(listing: Callable[[PageRequest], Page[T]], size: int) -> Iterator[T]:
    """The items of all pages."""
    token = ""
    while True:
        page = listing(PageRequest.parse(size, token, listing="all"))
        yield from page.items
        token = page.next_token
        if not token:
            return
