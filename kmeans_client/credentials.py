"""What a client proves itself with: a bearer token, and TLS files."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from kmeans_client.errors import KMeansError

__all__ = ["SYSTEM_CA", "Credentials", "is_loopback"]

SYSTEM_CA = "system"

# What RFC 6750 allows; anything else could end the header and begin another.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^\s:/,\[\]]+):[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token and TLS files; none of them by default, which means plain text.

    Attributes:
        token: says who calls; never shown, never sent in plain text but to this machine.
        ca: PEM file of the authorities that the gateway's certificate must come from, or `system` for those
            that gRPC knows; None: plain text.
        certificate: PEM file with the client's own certificate chain, for a gateway that asks for one.
        key: PEM file with its private key.
    """

    token: str = field(default="", repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Credentials:
        """Read KMEANS_TOKEN, KMEANS_TLS_CA, KMEANS_TLS_CLIENT_CERTIFICATE and KMEANS_TLS_CLIENT_KEY."""
        given = os.environ if environment is None else environment

        def path(name: str) -> Path | None:
            return Path(given[name]) if given.get(name) else None

        return cls(
            token=given.get("KMEANS_TOKEN", "").strip(),
            ca=path("KMEANS_TLS_CA"),
            certificate=path("KMEANS_TLS_CLIENT_CERTIFICATE"),
            key=path("KMEANS_TLS_CLIENT_KEY"),
        )

    def check(self, target: str) -> None:
        """Raise KMeansError when they do not go together, or must not be sent to this target.

        `BAD_TOKEN`, `BAD_TLS_FILES`, and `TOKEN_NEEDS_TLS` for a token that would travel in plain text.
        """
        if self.token and not _TOKEN.fullmatch(self.token):
            raise _refused(
                "BAD_TOKEN",
                "The token holds characters that no token has. Copy it again, without quotes and spaces.",
            )
        if (self.certificate is None) != (self.key is None):
            raise _refused(
                "BAD_TLS_FILES",
                "A client certificate and its key belong together: set both, "
                "KMEANS_TLS_CLIENT_CERTIFICATE and KMEANS_TLS_CLIENT_KEY, or none.",
            )
        if self.certificate is not None and self.ca is None:
            raise _refused(
                "BAD_TLS_FILES",
                "A client certificate is of no use in plain text. Set KMEANS_TLS_CA to the file of the "
                f"authority that signed the gateway's certificate, or to '{SYSTEM_CA}'.",
            )
        if self.token and self.ca is None and not is_loopback(target):
            raise _refused(
                "TOKEN_NEEDS_TLS",
                f"The token is not sent to {target} in plain text, where others could read it. Set "
                "KMEANS_TLS_CA to the file of the authority that signed the gateway's certificate, or to "
                f"'{SYSTEM_CA}'.",
            )

    def channel_credentials(self) -> grpc.ChannelCredentials | None:
        """The TLS files, read now; None for plain text. KMeansError (`BAD_TLS_FILES`) for a bad one."""
        if self.ca is None:
            return None
        return grpc.ssl_channel_credentials(
            None if str(self.ca) == SYSTEM_CA else _read(self.ca), _read(self.key), _read(self.certificate)
        )


def is_loopback(target: str) -> bool:
    """Whether HOST:PORT is this machine; a target of another kind (`dns://…`) is taken for another one."""
    match = _HOST_PORT.fullmatch(target)
    if match is None:
        return False
    host = match[1].strip("[]")
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _refused("BAD_TLS_FILES", f"{path} cannot be read ({error.strerror}).") from error
    if b"-----BEGIN " not in content:
        raise _refused("BAD_TLS_FILES", f"{path} is no PEM file.")
    return content


def _refused(reason: str, message: str) -> KMeansError:
    return KMeansError(grpc.StatusCode.UNAUTHENTICATED, reason, message)
