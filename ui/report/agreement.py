"""How far the experiments agree with the best fit."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import plotly.graph_objects as go
from kmeans.v1 import report_pb2, task_pb2

from kmeans_client import covariance_name
from ui.report.palette import covariance_look
from ui.report.theme import Theme, finished

__all__ = ["best_ks", "figure", "ks_sentence", "sentence"]

# Steinley (2004, Psychological Methods 9) calls values above these excellent, good and moderate.
_EXCELLENT, _GOOD, _MODERATE = 0.90, 0.80, 0.65


def figure(agreement: report_pb2.Agreement, *, theme: Theme = "light") -> go.Figure:
    """Draw a bar per experiment: the adjusted Rand index between its best fit and the best overall."""
    entries = agreement.experiments
    names = [covariance_name(entry.covariance) for entry in entries]
    drawn = go.Figure()
    for model in dict.fromkeys(names):
        mine = [entry for entry, name in zip(entries, names, strict=True) if name == model]
        look = covariance_look(model)
        drawn.add_bar(
            name=model,
            showlegend=True,
            x=[str(entry.experiment) for entry in mine],
            y=[entry.adjusted_rand_index for entry in mine],
            text=[f"K = {entry.k}" for entry in mine] if len(entries) <= 20 else None,
            textposition="outside",
            cliponaxis=False,
            customdata=[(entry.k, model) for entry in mine],
            # Tied models have the colour of their untied twins, and stripes where those have open markers.
            marker={
                "color": look.colour,
                "pattern": {"shape": "/" if look.dash == "dash" else "", "fillmode": "overlay"},
            },
            hovertemplate="<b>Experiment %{x}</b><br>its best fit: K = %{customdata[0]}, %{customdata[1]}"
            "<br>adjusted Rand index %{y:.3f}<extra></extra>",
        )
    finished(drawn, "Agreement of each experiment with the best fit", theme, height=340)
    lowest = min((entry.adjusted_rand_index for entry in entries), default=0.0)
    drawn.update_yaxes(title_text="adjusted Rand index", range=[min(0.0, lowest - 0.05), 1.12])
    order = [str(entry.experiment) for entry in entries]
    drawn.update_xaxes(title_text="experiment", type="category", showgrid=False)
    drawn.update_xaxes(categoryorder="array", categoryarray=order)
    drawn.update_layout(bargap=0.2, barmode="overlay")
    return drawn


def best_ks(best_first: Iterable[task_pb2.Task], n_experiments: int, min_members: int) -> list[int]:
    """The K of the best task of each experiment that has one, by experiment; reads no more tasks than needed.

    Args:
        best_first: tasks of a job, the one of the highest BIC first.
        n_experiments: how many experiments there are to be found.
        min_members: members that the smallest cluster of a task must have.
    """
    found: dict[int, int] = {}
    for task in best_first:
        counts = task.result.counts
        if task.state == task_pb2.TASK_STATE_DONE and min(counts, default=0) >= min_members:
            found.setdefault(task.experiment, task.k)
            if len(found) == n_experiments:
                break
    return [found[experiment] for experiment in sorted(found)]


def ks_sentence(ks: Sequence[int], best: int) -> str:
    """How far the experiments agree on the number of clusters: the best K of each, and the best of all."""
    if len(ks) < 2:
        return ""
    if len(set(ks)) == 1:
        return f"{'Both' if len(ks) == 2 else f'All {len(ks)}'} experiments say K = {best}."
    agreeing = sum(k == best for k in ks)
    say = "says" if agreeing == 1 else "say"
    return (
        f"The {len(ks)} experiments do not agree on the number of clusters: their best K is {min(ks)} to "
        f"{max(ks)}, and {agreeing} of {len(ks)} {say} {best}."
    )


def sentence(agreement: report_pb2.Agreement) -> str:
    """What the indices say, for a reader who does not know them, and of what K the experiments are."""
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
    ks = [entry.k for entry in agreement.experiments]
    best = next((entry.k for entry in agreement.experiments if entry.task == agreement.best), 0)
    return f"{ks_sentence(ks, best)} " + (
        f"{others} with the best fit by an adjusted Rand index of {median}{middle:.2f}{spread}, "
        f"over {rows} rows, where 1 is the same partition and 0 no more than chance: {verdict}."
    )
