"""How many experiments count, by covariance model and K."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from kmeans.v1 import report_pb2

from kmeans_client import covariance_name
from ui.report.palette import SEQUENTIAL
from ui.report.theme import Theme, finished

__all__ = ["figure"]


def figure(
    covariances: Sequence[report_pb2.CovarianceReport],
    n_experiments: int,
    min_members: int,
    *,
    theme: Theme = "light",
) -> go.Figure:
    """Draw a cell per covariance and K: the experiments whose every cluster has `min_members` members."""
    names = [covariance_name(entry.covariance) for entry in covariances]
    ks = [point.k for point in covariances[0].points] if covariances else []
    counted = [[point.counted for point in entry.points] for entry in covariances]
    drawn = go.Figure(
        go.Heatmap(
            x=ks,
            y=names,
            z=counted,
            customdata=[
                [(point.degenerate, point.too_small) for point in entry.points] for entry in covariances
            ],
            zmin=0,
            zmax=max(n_experiments, 1),
            colorscale=SEQUENTIAL,
            text=counted,
            texttemplate="%{text}" if len(ks) <= 20 else None,
            xgap=2,
            ygap=2,
            showscale=False,
            hovertemplate="<b>%{y}</b>, K = %{x}<br>"
            f"%{{z}} of {n_experiments} experiments count"
            "<br>degenerate: %{customdata[0]}"
            f"<br>a cluster below {min_members:,} members: %{{customdata[1]}}<extra></extra>",
        )
    )
    experiments = "1 experiment" if n_experiments == 1 else f"{n_experiments:,} experiments"
    finished(
        drawn,
        f"How many of {experiments} count (every cluster has at least {min_members:,} members)",
        theme,
        height=130 + 38 * max(len(names), 1),
    )
    drawn.update_xaxes(title_text="number of clusters K", dtick=1 if len(ks) <= 20 else 5, showgrid=False)
    drawn.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return drawn
