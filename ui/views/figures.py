"""Figures on a page: in its theme, with the picture format that the reader chose."""

from __future__ import annotations

from typing import Literal

import plotly.graph_objects as go
import streamlit as st

from ui.choices import choice
from ui.report.theme import toolbar

__all__ = ["choose_image", "draw"]

Image = Literal["png", "svg"]
_IMAGE = "picture-format"


def choose_image() -> None:
    """Let the reader say how pictures are downloaded; the camera above each plot uses it."""
    st.segmented_control(
        "Pictures as",
        ["png", "svg"],
        format_func=str.upper,
        default=choice(_IMAGE, "png"),
        key=_IMAGE,
        required=True,
        help="The camera above each plot downloads it in this format.",
    )


def draw(figure: go.Figure, name: str) -> None:
    """Draw a figure over the width of its place; `name` is its key and its file's."""
    image: Image = "svg" if st.session_state.get(_IMAGE) == "svg" else "png"
    st.plotly_chart(figure, theme=None, width="stretch", key=f"plot-{name}", config=toolbar(name, image))
