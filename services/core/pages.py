"""Pages of a listing: a size, and an opaque token bound to the listing that made it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.core.errors import FieldViolation, InvalidInput

__all__ = ["DEFAULT_PAGE_SIZE", "MAX_PAGE_SIZE", "Page", "PageRequest"]

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

# Ours are far shorter; the bound keeps a forged one from nesting deeper than the parser can go.
_MAX_TOKEN = 1024


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a listing is wanted.

    Attributes:
        size: at most this many items, 1 to 1,000.
        after: sort key of the last item already seen (JSON-compatible values), or None to begin.
        scope: fingerprint of the listing's filter and order, carried in the next token.
    """

    size: int = DEFAULT_PAGE_SIZE
    after: tuple[str | int | float, ...] | None = None
    scope: str = ""

    @classmethod
    def parse(cls, page_size: int, page_token: str, *, listing: object) -> PageRequest:
        """Read a client's page size and token for a listing (its filter and order, any repr-able value).

        Raises:
            InvalidInput: negative size, a token that is damaged, or one of another listing.
        """
        if page_size < 0:
            violation = FieldViolation("page_size", f"page_size is {page_size}; it must be 0 or more.")
            raise InvalidInput(violation.description, "BAD_PAGE_SIZE", violations=[violation])
        scope = hashlib.sha256(repr(listing).encode()).hexdigest()[:16]
        after: tuple[str | int | float, ...] | None = None
        if page_token:
            if len(page_token) > _MAX_TOKEN:
                raise _bad_token("it is not one that this service made")
            try:
                token = json.loads(base64.urlsafe_b64decode(page_token.encode("ascii")))
                token_scope, values = token["scope"], tuple(token["after"])
            except (ValueError, KeyError, TypeError, binascii.Error) as error:
                raise _bad_token("it is not one that this service made") from error
            if token_scope != scope or not all(isinstance(v, str | int | float) for v in values):
                raise _bad_token("it belongs to a listing with another filter or order")
            after = values
        return cls(min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE), after, scope)

    def token_after(self, key: Sequence[str | int | float]) -> str:
        """The token of the page that begins behind the item with this sort key."""
        body = json.dumps({"scope": self.scope, "after": list(key)}, separators=(",", ":"))
        return base64.urlsafe_b64encode(body.encode()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a listing, in its order, and the token of the next page ("" at the end)."""

    items: tuple[T, ...]
    next_token: str = ""


def _bad_token(why: str) -> InvalidInput:
    violation = FieldViolation("page_token", f"page_token is refused: {why}. Begin again without a token.")
    return InvalidInput(violation.description, "BAD_PAGE_TOKEN", violations=[violation])
