"""The dashboard's connection to the service: one client per process, and errors as sentences on the page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from kmeans_client import Client, KMeansError, Unreachable
from ui.watches import Watches

__all__ = ["DEFAULT_GATEWAY", "connect", "gateway_address", "sentences", "watches"]

DEFAULT_GATEWAY = "127.0.0.1:50051"


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
def sentences() -> Iterator[None]:
    """Show what the service refuses as a sentence on the page, in place of whatever the block draws."""
    try:
        yield
    except Unreachable as error:
        st.error(f"{error.message} The page works again once it does.", icon=":material/cloud_off:")
        st.button("Try again", icon=":material/refresh:", key="try-again")
    except KMeansError as error:
        st.error(error.message, icon=":material/error:")
