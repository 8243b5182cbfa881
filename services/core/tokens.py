"""Bearer tokens: who a token speaks for, kept as hashes.

A line of a token file is `OWNER SHA256`, the hash in hexadecimal; empty lines and what follows a `#` at the
beginning of a line or after a space do not count. Any number of lines may have the same owner: while a token
is replaced, the old one and the new one are both good.

The hash is a plain SHA-256: a token is 32 random bytes, which no dictionary holds and nobody can try out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.core.errors import InvalidInput

__all__ = [
    "MAX_TOKEN_CHARACTERS",
    "MIN_TOKEN_CHARACTERS",
    "Tokens",
    "check_owner",
    "make_token",
    "token_hash",
    "token_line",
]

MIN_TOKEN_CHARACTERS = 24
# Of what a call may send: a longer one would be looked at for nothing.
MAX_TOKEN_CHARACTERS = 512

_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_COMMENT = re.compile(r"(?:^|\s)#.*")
# What RFC 6750 allows in a header, so that a token can be sent as it is.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Owners by the hash of each of their tokens.

    Attributes:
        entries: (owner, SHA-256 of the token in lower-case hexadecimal).
    """

    entries: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def parse_file(cls, text: str, where: str) -> Tokens:
        """Read the lines of a token file; `where` names it in sentences.

        Raises:
            InvalidInput: a line is wrong (`BAD_TOKENS`); says which, never what it holds.
        """
        entries = []
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
            words = _COMMENT.sub("", line).split()
            if not words:
                continue
            if len(words) != 2 or not _OWNER.fullmatch(words[0]) or not _HASH.fullmatch(words[1].lower()):
                raise InvalidInput(
                    f"Line {number} of {where} is not OWNER SHA256. Make such a line with: kmeans-service "
                    "token OWNER.",
                    "BAD_TOKENS",
                )
            entries.append((words[0], words[1].lower()))
        return cls(_checked(entries, where))

    @classmethod
    def parse_pairs(cls, text: str, where: str) -> Tokens:
        """Read OWNER:TOKEN, separated by commas or spaces; only the hashes are kept.

        Raises:
            InvalidInput: a pair is wrong (`BAD_TOKENS`); says which, never what it holds.
        """
        entries = []
        for number, pair in enumerate(re.split(r"[,\s]+", text.strip(" \t\r\n,")), start=1):
            owner, _, token = pair.partition(":")
            if not _OWNER.fullmatch(owner) or not _TOKEN.fullmatch(token):
                raise InvalidInput(f"Entry {number} of {where} is not OWNER:TOKEN.", "BAD_TOKENS")
            if len(token) < MIN_TOKEN_CHARACTERS:
                raise InvalidInput(
                    f"The token in entry {number} of {where} has fewer than {MIN_TOKEN_CHARACTERS} "
                    "characters, and could be guessed. Make one with: kmeans-service token OWNER.",
                    "BAD_TOKENS",
                )
            if len(token) > MAX_TOKEN_CHARACTERS:
                raise InvalidInput(
                    f"The token in entry {number} of {where} has {len(token)} characters; a call may bring "
                    f"{MAX_TOKEN_CHARACTERS} at most. Make one with: kmeans-service token OWNER.",
                    "BAD_TOKENS",
                )
            entries.append((owner, token_hash(token)))
        return cls(_checked(entries, where))

    def owner_of(self, token: str) -> str | None:
        """Whose token it is; None for nobody's. Takes the same time whichever it is, and if none."""
        presented = token_hash(token)
        found: str | None = None
        for owner, known in self.entries:
            if hmac.compare_digest(known, presented):
                found = owner
        return found


def make_token() -> str:
    """A new token: 32 random bytes, 43 characters."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a token: its SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_line(owner: str, token: str) -> str:
    """The line of a token file."""
    return f"{check_owner(owner)} {token_hash(token)}"


def check_owner(owner: str) -> str:
    """Return it, or raise InvalidInput (`BAD_OWNER`)."""
    if not _OWNER.fullmatch(owner):
        raise InvalidInput(
            "An owner's name has 1 to 64 letters, digits, dots, dashes, underscores and @, and begins and "
            "ends with a letter or digit.",
            "BAD_OWNER",
        )
    return owner


def _checked(entries: Iterable[tuple[str, str]], where: str) -> tuple[tuple[str, str], ...]:
    owners: dict[str, str] = {}
    for owner, known in entries:
        if owners.setdefault(known, owner) != owner:
            raise InvalidInput(
                f"One token of {where} has two owners, {owners[known]} and {owner}. Make one for each.",
                "BAD_TOKENS",
            )
    return tuple((owner, known) for known, owner in owners.items())
