"""Rows on longitude and latitude, where a degree is as long as on the ground."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from ui.report import scatter
from ui.report.panels import Axis, Panel
from ui.report.theme import Theme

__all__ = ["degree_ratio", "figure", "grid"]


def degree_ratio(latitude: Axis) -> float:
    """Length of a degree of latitude over one of longitude, 1 / cos(middle latitude).

    That is the equirectangular projection with its standard parallel in the middle of the data (Snyder 1987,
    Map Projections: A Working Manual, section 12).
    """
    known = latitude.values[np.isfinite(latitude.values)]
    middle = float(known.min() + known.max()) / 2 if len(known) else 0.0
    return 1 / max(math.cos(math.radians(middle)), 0.01)


def figure(
    longitude: Axis, latitude: Axis, panel: Panel, *, title: str = "", theme: Theme = "light"
) -> go.Figure:
    """Draw one fit as a map."""
    ratio = degree_ratio(latitude)
    return scatter.figure(longitude, latitude, panel, scale_ratio=ratio, title=title, theme=theme)


def grid(
    longitude: Axis,
    latitude: Axis,
    panels: Sequence[Panel],
    *,
    columns: int = 3,
    title: str = "",
    theme: Theme = "light",
) -> go.Figure:
    """Draw fits as maps side by side."""
    ratio = degree_ratio(latitude)
    return scatter.grid(
        longitude, latitude, panels, columns=columns, scale_ratio=ratio, title=title, theme=theme
    )
