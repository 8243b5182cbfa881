from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import InvalidInput
from services.core.pages import PageRequest

LISTING = ("jobs", "owner", ("running",))

keys = st.lists(
    st.one_of(st.text(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False)),
    min_size=1,
    max_size=4,
)


@given(keys)
def test_token_leads_to_where_it_was_made(key: list[str | int | float]) -> None:
    first = PageRequest.parse(10, "", listing=LISTING)
    following = PageRequest.parse(10, first.token_after(key), listing=LISTING)
    assert following.after == tuple(key)


@pytest.mark.parametrize(("asked", "given_"), [(0, 50), (1, 1), (1000, 1000), (5000, 1000)])
def test_page_size_has_a_default_and_a_bound(asked: int, given_: int) -> None:
    assert PageRequest.parse(asked, "", listing=LISTING).size == given_


def test_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidInput, match="page_size is -1; it must be 0 or more"):
        PageRequest.parse(-1, "", listing=LISTING)


def test_token_of_another_listing_is_refused() -> None:
    token = PageRequest.parse(10, "", listing=LISTING).token_after(["a", 1])
    with pytest.raises(InvalidInput, match="another filter or order") as caught:
        PageRequest.parse(10, token, listing=("jobs", "somebody else", ("running",)))
    assert caught.value.reason == "BAD_PAGE_TOKEN"
    assert caught.value.violations[0].field == "page_token"


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "token", ["x", "ä", "====", encoded([1]), encoded({}), encoded({"scope": "a", "after": 3}), encoded(None)]
)
def test_damaged_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput, match="page_token is refused"):
        PageRequest.parse(10, token, listing=LISTING)


def test_token_with_values_of_other_types_is_refused() -> None:
    scope = PageRequest.parse(10, "", listing=LISTING).scope
    with pytest.raises(InvalidInput):
        PageRequest.parse(10, encoded({"scope": scope, "after": [["nested"]]}), listing=LISTING)
