"""Where a gateway listens: HOST:PORT, checked before gRPC reads more into it."""

from __future__ import annotations

import ipaddress
import re

from services.gateway.errors import invalid_field

__all__ = ["check_address", "is_loopback"]

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^\s:/\[\]]+):([0-9]{1,5})", re.ASCII)
# gRPC takes these for the scheme of an address of another kind.
_SCHEMES = {"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock"}
_MAX_PORT = 65_535


def check_address(address: str) -> str:
    """Return it, or raise InvalidInput (`BAD_ADDRESS`) when it is not HOST:PORT.

    gRPC would take a port above 65535 modulo 65536, and listen where nobody looks.
    """
    match = _HOST_PORT.fullmatch(address)
    if match is None or match[1].lower() in _SCHEMES or int(match[2]) > _MAX_PORT:
        raise invalid_field(
            "address",
            f"'{address}' is not an address to listen on. Say HOST:PORT with a port from 0 (any free one) to "
            f"{_MAX_PORT}, such as 127.0.0.1:50051 or [::1]:50051, in --address or KMEANS_ADDRESS.",
            "BAD_ADDRESS",
        )
    return address


def is_loopback(host: str) -> bool:
    """Whether a host, by its address or as `localhost`, is this machine and no other can reach it."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
