"""The dashboard's connection to the service: one client per process, and errors as sentences on the page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from kmeans_client import Client, KMeansError, Unreachable

__all__ = ["DEFAULT_GATEWAY", "connect", "gateway_address", "open_client", "sentences"]

DEFAULT_GATEWAY = "127.0.0.1:50051"


def gateway_address() -> str:
    """HOST:PORT of the service, from KMEANS_GATEWAY."""
    return os.environ.get("KMEANS_GATEWAY") or DEFAULT_GATEWAY


def open_client() -> Client:
    """A connection of its own to the service; the caller closes it."""
    return Client(gateway_address())


@st.cache_resource(show_spinner=False)
def _shared_client(address: str) -> Client:
    return Client(address)


def connect() -> Client:
    """The client that all sessions of this process share; connects at its first call."""
    return _shared_client(gateway_address())


@contextmanager
def sentences() -> Iterator[None]:
    """Show what the service refuses as a sentence on the page, in place of whatever the block draws."""
    try:
        yield
    except Unreachable as error:
        st.error(f"{error.message} The page works again once the service does.", icon=":material/cloud_off:")
        st.button("Try again", icon=":material/refresh:", key="try-again")
    except KMeansError as error:
        st.error(error.message, icon=":material/error:")
