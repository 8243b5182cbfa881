"""Who calls: the bearer token of a call, and whether it may have come the way it came.

Every method of `kmeans.v1` runs with a `Caller` in place of gRPC's context: what has no caller has no owner,
so that a method cannot forget to ask. Health and reflection tell nothing of anybody, and ask for no token.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import grpc
import structlog

from services.core.errors import InvalidInput, Unauthenticated
from services.core.settings import Settings
from services.core.tokens import MAX_TOKEN_CHARACTERS, Tokens
from services.gateway.addresses import is_loopback
from services.gateway.watched import WatchedFiles, read_file

__all__ = ["RECHECK_SECONDS", "Authentication", "Caller", "authentication"]

RECHECK_SECONDS = 5.0
"""How long a call may go on before it is asked again whether its token is still good."""

_BEARER = re.compile(rf"bearer +([A-Za-z0-9._~+/-]{{1,{MAX_TOKEN_CHARACTERS}}}=*)", re.ASCII | re.IGNORECASE)
_PEER = re.compile(r"ipv[46]:(.+):[0-9]+", re.ASCII)

_log = structlog.get_logger(__name__)


class Caller:
    """gRPC's context of a call, and the owner it speaks for."""

    def __init__(self, context: grpc.ServicerContext, authentication: Authentication) -> None:
        """Everything but what is here is the context's own; raises as `Authentication.owner_of`."""
        self.context = context
        self._authentication = authentication
        self._checked_at = time.monotonic()
        self.owner = authentication.owner_of(context)

    def check_welcome(self) -> None:
        """Raise Unauthenticated when the token was withdrawn, or given to another owner, meanwhile.

        Cheap, and so to be called often: it looks once in RECHECK_SECONDS.
        """
        now = time.monotonic()
        if now - self._checked_at < RECHECK_SECONDS:
            return
        self._checked_at = now
        if self._authentication.owner_of(self.context) != self.owner:
            raise _unknown_token()

    def is_active(self) -> bool:
        """Whether the client still waits for an answer."""
        return bool(self.context.is_active())

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Have this called when the call ends; False when it has."""
        return bool(self.context.add_callback(callback))

    def __getattr__(self, name: str) -> Any:
        """Whatever else is asked of a context."""
        return getattr(self.context, name)


class Authentication:
    """Tells the owner of each call; without tokens everybody is the owner "", and nobody is turned away."""

    def __init__(self, tokens: WatchedFiles[Tokens] | Tokens | None = None) -> None:
        """Know these tokens, as they are at each call."""
        self._tokens = tokens

    @property
    def is_open(self) -> bool:
        """Whether no token is asked."""
        return self._tokens is None

    def owner_of(self, context: grpc.ServicerContext) -> str:
        """Whom the call speaks for.

        Raises:
            Unauthenticated: it has no token (`TOKEN_MISSING`), an unknown one or several (`TOKEN_INVALID`),
                or one that came over the network in plain text (`TOKEN_IN_PLAIN_TEXT`).
        """
        values = [
            value for key, value in context.invocation_metadata() or () if key.lower() == "authorization"
        ]
        if values and not _is_private(context):
            _log.warning("a token came in plain text; whoever listened has it", peer=_peer_host(context))
            raise Unauthenticated(
                "The token came in plain text, where others could read it, and is not accepted. Replace it, "
                "and connect with TLS.",
                "TOKEN_IN_PLAIN_TEXT",
            )
        if self._tokens is None:
            return ""
        if not values:
            raise Unauthenticated(
                "This service asks for a token. Send it as the metadata 'authorization: Bearer TOKEN'; the "
                "commands and the dashboard take it from KMEANS_TOKEN.",
                "TOKEN_MISSING",
            )
        owner = None
        match = _BEARER.fullmatch(values[0]) if len(values) == 1 and isinstance(values[0], str) else None
        if match is not None:
            known = self._tokens if isinstance(self._tokens, Tokens) else self._tokens.current()
            owner = known.owner_of(match[1])
        if owner is None:
            raise _unknown_token()
        return owner


def authentication(settings: Settings) -> Authentication:
    """As the settings say: tokens of a file, of the environment, or none.

    Raises:
        InvalidInput: both are set (`BAD_SETTINGS`), or one is wrong (`BAD_TOKENS`).
    """
    path = settings.tokens_file
    pairs = settings.tokens.get_secret_value() if settings.tokens is not None else None
    if path is not None and pairs is not None:
        raise InvalidInput("KMEANS_TOKENS_FILE and KMEANS_TOKENS are both set; set one.", "BAD_SETTINGS")
    if path is not None:
        chosen = path

        def read() -> Tokens:
            content = read_file(chosen, "KMEANS_TOKENS_FILE", "BAD_TOKENS")
            try:
                text = content.decode()
            except UnicodeDecodeError:
                raise InvalidInput(f"KMEANS_TOKENS_FILE ({chosen}) is not UTF-8.", "BAD_TOKENS") from None
            tokens = Tokens.parse_file(text, f"KMEANS_TOKENS_FILE ({chosen})")
            if not tokens.entries:
                _log.warning("the token file has no token in it: nobody may enter", file=str(chosen))
            return tokens

        return Authentication(WatchedFiles("tokens", [chosen], read))
    if pairs is not None:
        return Authentication(Tokens.parse_pairs(pairs, "KMEANS_TOKENS"))
    return Authentication()


def _unknown_token() -> Unauthenticated:
    return Unauthenticated(
        "The token is not one that this service knows: mistyped, replaced or withdrawn. Ask whoever "
        "runs the service for another.",
        "TOKEN_INVALID",
    )


def _is_private(context: grpc.ServicerContext) -> bool:
    """Whether nobody between could read along: TLS, or a caller on this machine."""
    kinds = context.auth_context().get("transport_security_type", ())
    return b"ssl" in kinds or is_loopback(_peer_host(context))


def _peer_host(context: grpc.ServicerContext) -> str:
    """The caller's address, "" when it is none."""
    match = _PEER.fullmatch(unquote(context.peer()))
    return match[1].strip("[]") if match else ""
