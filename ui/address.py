"""A widget and a parameter of the address that say the same, whichever of the two moved last.

Streamlit can bind them itself, but from a page with a bound parameter no code may lead to another page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import streamlit as st

__all__ = ["follow", "say"]

T = TypeVar("T")

_SEEN = "seen-in-address"


def follow(parameter: str, key: str, read: Callable[[str], T]) -> T:
    """Give the widget `key` the value that `read` finds in the address, if the address moved.

    It moves by a link, or by the browser's Back and Forward; between two runs it stays, and then the widget
    has the last word. `read` gets the empty string where the parameter is missing.

    Returns what the widget shows, to be given to it as its first value as well: a browser that was clicked
    before a page was drawn to its end has forgotten the value, and the session has not.
    """
    told = st.query_params.get(parameter, "")
    seen: dict[str, str] = st.session_state.setdefault(_SEEN, {})
    if key not in st.session_state or seen.get(parameter) != told:
        st.session_state[key] = read(told)
    seen[parameter] = told
    return cast("T", st.session_state[key])


def say(parameter: str, value: str, unsaid: str = "") -> None:
    """Write the widget's value to the address; `unsaid` is what a missing parameter means."""
    if st.query_params.get(parameter, unsaid) != value:
        st.query_params[parameter] = value
    seen: dict[str, str] = st.session_state.setdefault(_SEEN, {})
    seen[parameter] = st.query_params.get(parameter, "")
