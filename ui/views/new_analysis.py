"""A new analysis: a table, its columns, and what to compute."""

from __future__ import annotations

import streamlit as st

__all__ = ["show"]


def show() -> None:
    """Draw the steps from a table to a submitted job."""
    st.title("New analysis")
