"""A job under way: its progress and scores, live."""

from __future__ import annotations

import streamlit as st
from kmeans.v1 import job_pb2, report_pb2

from kmeans_client import has_ended
from ui.connection import connect, sentences, watches
from ui.report import scores as score_curves
from ui.report.theme import toolbar
from ui.states import ended_count, job_badge
from ui.views.progress import draw_progress
from ui.views.theme import theme
from ui.watches import Live
from ui.words import count, duration

__all__ = ["ENDED", "header", "live", "report_age", "scores"]

# In the session: the job that was seen to end, whose report is shown next.
ENDED = "job-seen-to-end"

_PROGRESS_SECONDS = 1.0
_SCORES_SECONDS = 2.0


def live(job: job_pb2.Job) -> Live | None:
    """The job as it is now, from the watch that all sessions of this process share."""
    return watches().get(job.name, job.revision).live()


@st.fragment(run_every=_PROGRESS_SECONDS)
def header(job: job_pb2.Job) -> None:
    """State, bar, speed and time left, once a second; draws the whole page anew when the job ends."""
    with sentences("header"), st.container(key="live-header"):
        now = live(job)
        if now is None:
            st.info("Waiting for the first word of the service.", icon=":material/hourglass_empty:")
            return
        if has_ended(now.job):
            st.session_state[ENDED] = job.name
            st.rerun()
        if now.is_away:
            st.warning(
                "Reconnecting: the service does not answer. What is shown is what it told last.",
                icon=":material/cloud_off:",
            )
        with st.container(horizontal=True, vertical_alignment="center"):
            word, icon, colour = job_badge(now.job)
            st.badge(word, icon=icon, color=colour)
            st.markdown(pace(now), width="content")
        draw_progress(now.job.task_counts, legend=True)


@st.fragment(run_every=_SCORES_SECONDS)
def scores(job: job_pb2.Job) -> None:
    """BIC against K of what has ended so far."""
    with sentences("scores", is_told=True):
        report = watches().get(job.name, job.revision).report(connect())
        if not any(point.counted for each in report.covariances for point in each.points):
            st.info(_no_score(report), icon=":material/hourglass_empty:")
            return
        figure = score_curves.figure(
            report.covariances,
            "bic",
            interval_method=report.interval_method,
            best=report.best if report.HasField("best") else None,
            theme=theme(),
        )
        st.plotly_chart(figure, theme=None, key="live-scores", config=toolbar("scores"))


@st.fragment(run_every=_SCORES_SECONDS)
def report_age(job: job_pb2.Job) -> None:
    """How much of the job its report is of, and a button for a newer one once there is more.

    The report itself stays as it was drawn: plots that change under the reader's hand cannot be read.
    """
    with sentences("age", is_told=True):
        now = live(job)
        if now is None:
            return
        drawn, counts = ended_count(job.task_counts), now.job.task_counts
        more = ended_count(counts) - drawn
        with st.container(horizontal=True, vertical_alignment="center"):
            said = f"Preliminary: of the {drawn:,} of {count(counts.total, 'task')} that had ended"
            since = f", and {more:,} more have ended since." if more > 0 else "."
            st.caption(f"{said} when this was drawn{since}", width="content")
            if more > 0 and st.button(
                "Draw it anew", icon=":material/refresh:", key="draw-anew", type="tertiary"
            ):
                st.rerun()


def _no_score(report: report_pb2.Report) -> str:
    """Why there is no score to draw yet."""
    points = [point for each in report.covariances for point in each.points]
    ended = sum(point.degenerate + point.too_small for point in points)
    if not ended:
        return "Scores appear here as soon as the first tasks have ended."
    return (
        f"{count(ended, 'task')} ended without a score to draw: a cluster is degenerate or has fewer than "
        f"{count(report.min_members, 'row')}. Others appear here as they end."
    )


def pace(now: Live) -> str:
    """`412 of 600 tasks · 38 tasks a second · about 5 s left`."""
    counts = now.job.task_counts
    if not counts.total:
        return "Its tasks are being planned."
    said = [f"**{ended_count(counts):,}** of {count(counts.total, 'task')}"]
    if now.rate is not None:
        said.append(f"{now.rate:,.0f} tasks a second" if now.rate >= 10 else f"{now.rate:.1f} tasks a second")
    if now.seconds_left is not None and ended_count(counts) < counts.total:
        said.append(f"about {duration(now.seconds_left)} left")
    return " · ".join(said)
