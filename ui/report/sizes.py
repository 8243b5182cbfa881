"""How many rows each cluster of a fit has."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ui.report.palette import cluster_look
from ui.report.theme import Theme, finished
from ui.report.wording import share

__all__ = ["figure"]


def figure(counts: Sequence[int], *, places: Sequence[int] = (), theme: Theme = "light") -> go.Figure:
    """Draw a bar per cluster, from its number of members."""
    total = sum(counts)
    looks = [cluster_look(label, places) for label in range(len(counts))]
    drawn = go.Figure(
        go.Bar(
            x=[str(label) for label in range(len(counts))],
            y=list(counts),
            text=[f"{count:,}" for count in counts] if len(counts) <= 20 else None,
            textposition="outside",
            cliponaxis=False,
            customdata=[share(count / total) if total else "" for count in counts],
            marker={
                "color": [look.colour for look in looks],
                "pattern": {"shape": [look.pattern for look in looks]},
            },
            hovertemplate="<b>Cluster %{x}</b><br>%{y:,} rows, %{customdata}<extra></extra>",
        )
    )
    finished(drawn, "Rows per cluster", theme, height=320)
    drawn.update_xaxes(type="category", title_text="cluster", showgrid=False)
    drawn.update_yaxes(title_text="rows", rangemode="tozero")
    return drawn
