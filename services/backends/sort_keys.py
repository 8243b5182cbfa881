"""Sort keys of listings: what a page token carries, checked, because a client can forge one."""

from __future__ import annotations

from services.core.errors import FieldViolation, InvalidInput
from services.core.pages import PageRequest

__all__ = ["read_sort_key"]

_INT64 = range(-(2**63), 2**63)


def read_sort_key(
    page: PageRequest, *types: type[str] | type[int] | type[float]
) -> tuple[str | int | float, ...] | None:
    """The sort key that the page begins behind, or None for the first page.

    A float may be written as an int. Raises InvalidInput (`BAD_PAGE_TOKEN`) when its values are not
    of these types: the token was not made by this listing.
    """
    if page.after is None:
        return None
    if len(page.after) != len(types) or not all(map(_fits, page.after, types)):
        violation = FieldViolation(
            "page_token",
            "page_token is refused: it is not one that this listing made. Begin again without a token.",
        )
        raise InvalidInput(violation.description, "BAD_PAGE_TOKEN", violations=[violation])
    return page.after


def _fits(value: str | int | float, type_: type[str] | type[int] | type[float]) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return type_ is not str and value in _INT64
    return isinstance(value, type_)
