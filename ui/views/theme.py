"""Whether this browser shows the page light or dark."""

from __future__ import annotations

from typing import Literal

import streamlit as st

__all__ = ["theme"]


def theme() -> Literal["light", "dark"]:
    """The theme that Streamlit draws with in this browser."""
    return "dark" if st.context.theme.type == "dark" else "light"
