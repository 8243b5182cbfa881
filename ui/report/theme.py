"""Light and dark: templates of Plotly, and the finish that every figure gets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

__all__ = ["FONT", "THEMES", "Ground", "Theme", "drawn_once", "finished", "ground", "template", "toolbar"]

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
# One family in plots, pages and files, of those that the reader's system has: none is fetched.
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a figure stands on."""

    paper: str
    ink: str
    faint: str
    grid: str
    card: str


_GROUNDS: dict[Theme, Ground] = {
    "light": Ground(paper="#FFFFFF", ink="#1F2933", faint="#5B6673", grid="#E4E8ED", card="#F6F8FA"),
    "dark": Ground(paper="#0E1117", ink="#E8EBF0", faint="#A3ADB9", grid="#2A313C", card="#171C25"),
}


def ground(theme: Theme) -> Ground:
    """The colours of a theme that are no data."""
    return _GROUNDS[theme]


def template(theme: Theme) -> go.layout.Template:
    """Fonts, grounds and grids; colours of data are the same in both themes."""
    on = _GROUNDS[theme]
    axis: dict[str, Any] = {
        "gridcolor": on.grid,
        "linecolor": on.grid,
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "tickcolor": on.grid,
        "ticklen": 4,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
        "tickfont": {"size": 12, "color": on.faint},
    }
    return go.layout.Template(
        layout={
            "paper_bgcolor": on.paper,
            "plot_bgcolor": on.paper,
            "font": {"family": FONT, "size": 13, "color": on.ink},
            "title": {"font": {"size": 16}, "x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 8}},
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": on.card,
                "bordercolor": on.grid,
                "font": {"family": FONT, "size": 12, "color": on.ink},
                "align": "left",
            },
            "legend": {"bgcolor": "rgba(0,0,0,0)", "font": {"size": 12}, "itemsizing": "constant"},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": on.faint, "activecolor": on.ink},
        }
    )


def finished(figure: go.Figure, title: str, theme: Theme, *, height: int = 420) -> go.Figure:
    """Give a figure its title, its template and its height; the width is that of its place."""
    figure.update_layout(
        template=template(theme),
        title_text=title,
        height=height,
        margin={"l": 12, "r": 12, "t": 56 if title else 28, "b": 12},
        # What a reader has zoomed and hidden stays when the data are refreshed.
        uirevision=title or "figure",
    )
    return figure


def drawn_once(figure: go.Figure) -> go.Figure:
    """Let Plotly know a copy of a finished figure for the same one, and not draw it again.

    Streamlit's page hands it each figure twice, the second time as a copy. Plotly takes that for another one
    if it has a template, or data that are neither lists nor called the same by `datarevision`; thousands of
    points are worth saying so.

    Args:
        figure: of traces whose only data are lists x and y.
    """
    look = figure.layout.template.layout.to_plotly_json()
    axes = {"xaxis": look.pop("xaxis"), "yaxis": look.pop("yaxis")}
    figure.layout.template = None
    figure.layout.update(_over(look, figure.layout.to_plotly_json()))
    for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
        axis.update(_over(axes[axis.plotly_name.rstrip("0123456789")], axis.to_plotly_json()))
    data = hashlib.sha256()
    for trace in figure.data:
        for values in (trace.x, trace.y):
            data.update(np.array(values, dtype=np.float64).tobytes() + b"/")
    figure.layout.datarevision = data.hexdigest()
    return figure


def _over(look: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The look, with whatever a figure says of it itself."""
    return {
        name: _over(value, own.get(name, {})) if isinstance(value, Mapping) else own.get(name, value)
        for name, value in look.items()
    }


def toolbar(name: str, image: Literal["png", "svg"] = "png") -> dict[str, Any]:
    """Plotly's settings: the picture a reader downloads, twice the size on screen where it has pixels."""
    return {
        "displaylogo": False,
        "responsive": True,
        "toImageButtonOptions": {"format": image, "filename": name, "scale": 2 if image == "png" else 1},
        "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
    }
