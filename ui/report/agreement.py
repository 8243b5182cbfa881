"""How far the experiments agree with the best fit."""

from __future__ import annotations

import statistics

import plotly.graph_objects as go
from kmeans.v1 import report_pb2

from kmeans_client import covariance_name
from ui.report.palette import covariance_look
from ui.report.theme import Theme, finished

__all__ = ["figure", "sentence"]

# Steinley (2004, Psychological Methods 9) calls values above these excellent, good and moderate.
_EXCELLENT, _GOOD, _MODERATE = 0.90, 0.80, 0.65


def figure(agreement: report_pb2.Agreement, *, theme: Theme = "light") -> go.Figure:
    """Draw a bar per experiment: the adjusted Rand index between its best fit and the best overall."""
    entries = agreement.experiments
    names = [covariance_name(entry.covariance) for entry in entries]
    drawn = go.Figure(
        go.Bar(
            x=[str(entry.experiment) for entry in entries],
            y=[entry.adjusted_rand_index for entry in entries],
            text=[f"K = {entry.k}" for entry in entries] if len(entries) <= 20 else None,
            textposition="auto",
            customdata=[(entry.k, name) for entry, name in zip(entries, names, strict=True)],
            marker={"color": [covariance_look(name).colour for name in names]},
            hovertemplate="<b>Experiment %{x}</b><br>its best fit: K = %{customdata[0]}, %{customdata[1]}"
            "<br>adjusted Rand index %{y:.3f}<extra></extra>",
        )
    )
    finished(drawn, "Agreement of each experiment with the best fit", theme, height=340)
    lowest = min((entry.adjusted_rand_index for entry in entries), default=0.0)
    drawn.update_yaxes(title_text="adjusted Rand index", range=[min(0.0, lowest - 0.05), 1.05])
    drawn.update_xaxes(title_text="experiment", type="category", showgrid=False)
    return drawn


def sentence(agreement: report_pb2.Agreement) -> str:
    """What the indices say, for a reader who does not know them."""
    values = [
        entry.adjusted_rand_index
        for entry in agreement.experiments
        # The experiment of the best fit agrees with itself.
        if entry.task != agreement.best
    ]
    if not values:
        return "Only one experiment has a fit that counts, so there is nothing to compare it with."
    middle = statistics.median(values)
    verdict = (
        "the answer is very stable"
        if middle >= _EXCELLENT
        else "the answer is stable"
        if middle >= _GOOD
        else "the answer is moderately stable: some rows change their cluster from one experiment to another"
        if middle >= _MODERATE
        else "the answer is not stable: other experiments draw other clusters, so take the borders with care"
    )
    others = (
        "The other experiment agrees" if len(values) == 1 else f"The other {len(values)} experiments agree"
    )
    spread = "" if len(values) == 1 else f" ({min(values):.2f} to {max(values):.2f})"
    rows = f"a sample of {agreement.row_count:,}" if agreement.sampled else f"{agreement.row_count:,}"
    median = "" if len(values) == 1 else "median "
    return (
        f"{others} with the best fit by an adjusted Rand index of {median}{middle:.2f}{spread}, "
        f"over {rows} rows, where 1 is the same partition and 0 no more than chance: {verdict}."
    )
