"""Where the broker is: what an `amqp://` URL says, without ever showing its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pika  # type: ignore[import-untyped]

from services.core.errors import InvalidInput

__all__ = ["DEFAULT_PREFIX", "Location"]

DEFAULT_PREFIX = "kmeans"

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEARTBEAT_SECONDS = 30
_SOCKET_SECONDS = 5.0
# TCP, TLS and the handshake of AMQP together.
_OPENING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Location:
    """A broker, a virtual host and a prefix of queue names.

    Attributes:
        parameters: pika's, credentials included; never shown.
        prefix: what the names of exchanges and queues begin with.
        server: HOST:PORT, for people.
    """

    parameters: Any = field(repr=False)
    prefix: str
    server: str
    virtual_host: str

    @classmethod
    def parse(cls, url: str) -> Location:
        """Read `amqp[s]://user:password@host:port/virtual-host?prefix=NAME`.

        `prefix` keeps several services on one virtual host apart; default `kmeans`. Other parameters of
        the query are pika's, `heartbeat` in seconds (default 30) and `ssl_options` among them. Without
        a path the virtual host is `/`.

        Raises:
            InvalidInput: `BAD_BACKEND_URL`; the message shows nothing of the URL but what is harmless.
        """
        try:
            parts = urlsplit(url)
            query = parse_qsl(parts.query, keep_blank_values=True)
            prefixes = [value for name, value in query if name == "prefix"] or [DEFAULT_PREFIX]
            rest = urlencode([(name, value) for name, value in query if name != "prefix"])
            parameters = pika.URLParameters(urlunsplit(parts._replace(query=rest, fragment="")))
            is_complete = bool(parts.hostname) and parts.scheme.lower() in {"amqp", "amqps"}
        except (ValueError, SyntaxError, TypeError, AttributeError, OSError, RecursionError, MemoryError):
            # Whatever it was, pika or urllib would quote the URL, and with it the password.
            is_complete = False
        if not is_complete:
            raise InvalidInput(
                "The URL of the task queue cannot be read. It is written "
                "amqp://USER:PASSWORD@HOST:PORT/VHOST?prefix=NAME, special characters percent-encoded.",
                "BAD_BACKEND_URL",
            )
        if len(prefixes) != 1 or not _PREFIX.fullmatch(prefixes[0]):
            raise InvalidInput(
                "The prefix in the URL of the task queue must be 1 to 64 letters, digits, '.', '_' or '-'.",
                "BAD_BACKEND_URL",
            )
        if parameters.heartbeat == 0:
            raise InvalidInput(
                "heartbeat=0 in the URL of the task queue would leave a dead connection unnoticed; "
                f"leave it out for {_HEARTBEAT_SECONDS} seconds.",
                "BAD_BACKEND_URL",
            )
        parameters.heartbeat = parameters.heartbeat or _HEARTBEAT_SECONDS
        given = {name for name, _ in query}
        if "socket_timeout" not in given:
            parameters.socket_timeout = _SOCKET_SECONDS
        if "stack_timeout" not in given:
            parameters.stack_timeout = _OPENING_SECONDS
        # The link tries again by itself, with a pause that grows.
        parameters.connection_attempts = 1
        return cls(parameters, prefixes[0], f"{parameters.host}:{parameters.port}", parameters.virtual_host)
