"""The bar of a job's progress: how many of its tasks are in each state."""

from __future__ import annotations

from html import escape

import streamlit as st
from kmeans.v1 import job_pb2

from ui.states import state_counts

__all__ = ["draw_progress", "progress_html"]

# Okabe & Ito's colours, which differ with any colour vision; what is left to run shows the ground.
_COLOURS = {
    "done": "#0072B2",
    "degenerate": "#E69F00",
    "error": "#D55E00",
    "cancelled": "#8A929E",
    "running": "#56B4E9",
    "pending": "rgba(128,140,155,0.22)",
}


def draw_progress(counts: job_pb2.TaskCounts, *, legend: bool) -> None:
    """Draw the bar; with `legend` the number of tasks in each state below it."""
    st.html(progress_html(counts, legend=legend))


def progress_html(counts: job_pb2.TaskCounts, *, legend: bool) -> str:
    """One bar in parts, each as wide as its share of the tasks, and described for those who hear it."""
    by_state = {state: number for state, number in state_counts(counts).items() if number}
    total = max(counts.total, 1)
    said = ", ".join(f"{number:,} {state}" for state, number in by_state.items())
    parts = "".join(
        f'<div title="{number:,} {state}" style="width:{100 * number / total:.3f}%;'
        f'background:{_COLOURS[state]};transition:width .6s ease"></div>'
        for state, number in by_state.items()
    )
    bar = (
        f'<div role="img" aria-label="{escape(said or "no tasks yet")}" style="display:flex;height:10px;'
        f'border-radius:5px;overflow:hidden;background:{_COLOURS["pending"]}">{parts}</div>'
    )
    if not legend:
        return bar
    entries = "".join(
        '<span style="white-space:nowrap;margin-right:1.2em">'
        f'<span style="display:inline-block;width:.7em;height:.7em;border-radius:2px;margin-right:.4em;'
        f'background:{_COLOURS[state]}"></span>{number:,} {state}</span>'
        for state, number in by_state.items()
    )
    return f'{bar}<div style="margin-top:.5rem;font-size:.875rem">{entries}</div>'
