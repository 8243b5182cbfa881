"""Bounds on streams and on the size of answers."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
from kmeans.v1 import dataset_pb2, dataset_service_pb2

from services.core.errors import LimitExceeded
from services.core.jobs import MAX_K
from services.core.pages import Page, PageRequest
from services.gateway.paging import MAX_MESSAGE_BYTES, fit_message, fit_page
from services.gateway.slots import Slots, share_of
from services.gateway.turns import Turns


def test_slots_are_given_back_however_the_call_ends() -> None:
    slots = Slots("watches", 1, "KMEANS_MAX_WATCHES", reason="TOO_MANY_STREAMS")
    with slots.take(), pytest.raises(LimitExceeded) as refused, slots.take():
        pass
    assert refused.value.reason == "TOO_MANY_STREAMS"
    with pytest.raises(ZeroDivisionError), slots.take():
        raise ZeroDivisionError
    with slots.take():
        pass


def test_one_owner_has_its_share_and_no_more() -> None:
    slots = Slots(
        "watches",
        4,
        "KMEANS_MAX_WATCHES",
        per_owner=share_of(4, is_shared=True),
        reason="TOO_MANY_STREAMS",
    )
    with ExitStack() as held:
        held.enter_context(slots.take("ann"))
        held.enter_context(slots.take("ann"))
        with pytest.raises(LimitExceeded, match="You have 2 watches") as refused, slots.take("ann"):
            pass
        assert (refused.value.subject, refused.value.metadata["limit"]) == ("owner:ann", "2")
        held.enter_context(slots.take("ben"))
        held.enter_context(slots.take("ben"))
        with pytest.raises(LimitExceeded, match="all are taken") as refused, slots.take("eve"):
            pass
        assert (refused.value.subject, refused.value.metadata["limit"]) == ("", "4")
    with slots.take("ann"):
        pass


@pytest.mark.parametrize(("count", "alone", "shared"), [(1, 1, 1), (2, 2, 1), (5, 5, 2)])
def test_a_share_is_half_and_never_nothing(count: int, alone: int, shared: int) -> None:
    assert (share_of(count, is_shared=False), share_of(count, is_shared=True)) == (alone, shared)


def test_a_turn_is_given_back_and_nobody_waits_for_it_without_end() -> None:
    turn, asked = Turns(), []

    def check() -> None:
        asked.append(1)
        raise ZeroDivisionError

    with turn.take(check), pytest.raises(ZeroDivisionError), turn.take(check):
        pass
    assert asked == [1]
    with turn.take(check):
        pass


def test_an_answer_is_shortened_until_it_fits_into_a_message() -> None:
    asked = []

    def answer(size: int) -> dataset_service_pb2.ListDatasetsResponse:
        asked.append(size)
        return dataset_service_pb2.ListDatasetsResponse(next_page_token="x" * (size * 10_000))

    assert len(fit_message(answer, 1000).next_page_token) <= MAX_MESSAGE_BYTES
    assert asked == [1000, 500, 250]


@pytest.mark.parametrize(("item_bytes", "count"), [(10, 130), (60_000, 69), (5 << 20, 1)])
def test_a_page_is_read_in_small_steps_until_it_is_full(item_bytes: int, count: int) -> None:
    """And the next page begins with what did not fit."""
    asked = []

    def fetch(page: PageRequest) -> Page[int]:
        asked.append(page.size)
        first = int(page.after[0]) + 1 if page.after else 0
        return Page(tuple(range(first, first + page.size)), page.token_after([first + page.size - 1]))

    def convert(item: int) -> dataset_pb2.Dataset:
        return dataset_pb2.Dataset(row_count=item, display_name="x" * item_bytes)

    first, token = fit_page(fetch, convert, 130, "", listing="all")
    assert [message.row_count for message in first] == list(range(count))
    assert max(asked) <= 50
    answer = dataset_service_pb2.ListDatasetsResponse(datasets=first, next_page_token=token)
    assert answer.ByteSize() <= MAX_MESSAGE_BYTES or count == 1
    second, _ = fit_page(fetch, convert, 1, token, listing="all")
    assert [message.row_count for message in second] == [count]


def test_an_answer_that_is_known_not_to_fit_is_shortened_too() -> None:
    asked = []

    def answer(size: int) -> dataset_service_pb2.ListDatasetsResponse | None:
        asked.append(size)
        return dataset_service_pb2.ListDatasetsResponse() if size == 1 else None

    fit_message(answer, 5)
    assert asked == [5, 2, 1]


def test_one_item_is_sent_whatever_its_size() -> None:
    answer = dataset_service_pb2.ListDatasetsResponse(next_page_token="x" * (MAX_MESSAGE_BYTES + 1))
    assert fit_message(lambda size: answer, 3) is answer


def test_every_label_fits_into_a_byte() -> None:
    """As labels of all rows are kept while they are streamed."""
    assert np.iinfo(np.int8).max >= MAX_K
