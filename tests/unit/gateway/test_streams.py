"""Bounds on streams and on the size of answers."""

from __future__ import annotations

import pytest
from kmeans.v1 import dataset_service_pb2

from services.core.errors import LimitExceeded
from services.gateway.paging import MAX_MESSAGE_BYTES, fit_message
from services.gateway.slots import Slots


def test_slots_are_given_back_however_the_call_ends() -> None:
    slots = Slots("watches", 1, "KMEANS_MAX_WATCHES")
    with slots.take(), pytest.raises(LimitExceeded) as refused, slots.take():
        pass
    assert refused.value.reason == "TOO_MANY_STREAMS"
    with pytest.raises(ZeroDivisionError), slots.take():
        raise ZeroDivisionError
    with slots.take():
        pass


def test_an_answer_is_shortened_until_it_fits_into_a_message() -> None:
    asked = []

    def answer(size: int) -> dataset_service_pb2.ListDatasetsResponse:
        asked.append(size)
        return dataset_service_pb2.ListDatasetsResponse(next_page_token="x" * (size * 10_000))

    assert len(fit_message(answer, 1000).next_page_token) <= MAX_MESSAGE_BYTES
    assert asked == [1000, 500, 250]


def test_one_item_is_sent_whatever_its_size() -> None:
    answer = dataset_service_pb2.ListDatasetsResponse(next_page_token="x" * (MAX_MESSAGE_BYTES + 1))
    assert fit_message(lambda size: answer, 3) is answer
