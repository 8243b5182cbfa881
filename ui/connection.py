"""The dashboard's connection to the service: one client per process, and errors as sentences on the page."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import streamlit as st

from kmeans_client import Client, KMeansError, Unreachable
from ui.watches import Watches
from ui.words import plain

__all__ = ["DEFAULT_GATEWAY", "connect", "gateway_address", "sentences", "watches"]

DEFAULT_GATEWAY = "127.0.0.1:50051"

_LOG = logging.getLogger(__name__)
# What may be otherwise a moment later, though nobody changes anything.
_MAY_PASS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def gateway_address() -> str:
    """HOST:PORT of the service, from KMEANS_GATEWAY."""
    return os.environ.get("KMEANS_GATEWAY") or DEFAULT_GATEWAY


@st.cache_resource(show_spinner=False)
def _shared_client(address: str) -> Client:
    return Client.from_environment(address)


def connect() -> Client:
    """The client that all sessions of this process share; connects at its first call."""
    return _shared_client(gateway_address())


@st.cache_resource(show_spinner=False)
def _shared_watches(address: str) -> Watches:
    return Watches(lambda: Client.from_environment(address))


def watches() -> Watches:
    """The watched jobs of this process."""
    return _shared_watches(gateway_address())


@contextmanager
def sentences(place: str = "page", *, is_told: bool = False) -> Iterator[None]:
    """Show what the service refuses as a sentence on the page, in place of whatever the block draws.

    Blocks may stand inside each other, or be parts of a page that are drawn anew by themselves: each has a
    `place` of its own. Where another part tells already that nobody answers, this one `is_told`.
    """
    try:
        yield
    except Unreachable as error:
        # What gRPC says of sockets is for whoever runs the dashboard, not for whoever looks at it.
        _LOG.warning("%s", error.message)
        if is_told:
            return
        st.error(
            f"No K-Means Service answers at {plain(gateway_address())}. The page works again once one does.",
            icon=":material/cloud_off:",
        )
        _try_again(place)
    except KMeansError as error:
        st.error(plain(error.message), icon=":material/error:")
        if error.code in _MAY_PASS:
            _try_again(place)


def _try_again(place: str) -> None:
    st.button("Try again", icon=":material/refresh:", key=f"try-again-{place}")
