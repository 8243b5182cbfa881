"""The list of jobs: newest first, searched by name or id."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import streamlit as st
from kmeans.v1 import job_pb2

from kmeans_client import Client
from ui import address, links
from ui.connection import connect, sentences
from ui.states import ended_count, job_badge
from ui.views.progress import draw_progress
from ui.words import age, count, moment, plain

__all__ = ["show"]

_SHOWN_AT_ONCE = 25
_LIVE_SECONDS = 5
_ENDED = {
    "All": (),
    "Under way": (job_pb2.JOB_STATE_PENDING, job_pb2.JOB_STATE_RUNNING),
    "Done": (job_pb2.JOB_STATE_SUCCEEDED,),
    "Failed or cancelled": (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED),
}


def show() -> None:
    """Draw the list; a row leads to its job."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Jobs", anchor=False)
        if st.button("New analysis", icon=":material/add:", type="primary"):
            links.open_page(links.NEW_ANALYSIS)
    told = address.follow("query", "query", str)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        query = st.text_input(
            "Search",
            told,
            placeholder="Search by name or id",
            key="query",
            icon=":material/search:",
            label_visibility="collapsed",
            max_chars=255,
            width=360,
        )
        chosen = st.segmented_control(
            "State",
            list(_ENDED),
            default="All",
            required=True,
            key="jobs-state",
            label_visibility="collapsed",
        )
    address.say("query", str(query or ""))
    _list(str(query or ""), _ENDED[str(chosen or "All")])


@st.fragment(run_every=_LIVE_SECONDS)
def _list(query: str, states: tuple[job_pb2.JobState, ...]) -> None:
    with sentences("list"):
        client = connect()
        shown = st.session_state.get("jobs-shown", _SHOWN_AT_ONCE)
        jobs = list(islice(client.list_jobs(query=query.strip(), states=states), shown + 1))
        if not jobs:
            _nothing(filtered=bool(query or states))
            return
        _rows(client, jobs[:shown])
        if len(jobs) > shown and st.button(f"Show {_SHOWN_AT_ONCE} more", icon=":material/expand_more:"):
            st.session_state["jobs-shown"] = shown + _SHOWN_AT_ONCE
            st.rerun(scope="fragment")


def _nothing(*, filtered: bool) -> None:
    with st.container(border=True, horizontal_alignment="center", gap="small"):
        st.space("small")
        if filtered:
            st.markdown("#### No job matches", text_alignment="center")
            st.caption("Search for a part of its name or of its id, in any case, or choose another state.")
        else:
            st.markdown("#### No analysis yet", text_alignment="center")
            st.caption("Upload a table, or try one of the samples: it takes a minute.")
            links.link_to(links.NEW_ANALYSIS, "Start your first analysis", icon=":material/add_chart:")
        st.space("small")


def _rows(client: Client, jobs: list[job_pb2.Job]) -> None:
    datasets, now = _dataset_names(client, {job.spec.dataset for job in jobs}), datetime.now(UTC)
    for job in jobs:
        with st.container(border=True, key=f"row-{job.name.removeprefix('jobs/')}"):
            name, progress, state = st.columns([5, 4, 2], vertical_alignment="center", gap="medium")
            with name:
                links.link_to(links.JOB, f"**{plain(job.display_name)}**", params=links.job_params(job.name))
                said = [
                    plain(datasets.get(job.spec.dataset, "")),
                    count(job.row_count, "row"),
                    f"`{job.name.removeprefix('jobs/')}`",
                ]
                st.caption(" · ".join(said))
            with progress:
                draw_progress(job.task_counts, legend=False)
                st.caption(_progress_words(job))
            with state:
                word, icon, colour = job_badge(job)
                st.badge(word, icon=icon, color=colour)
                st.caption(age(moment(job.create_time), now))


def _progress_words(job: job_pb2.Job) -> str:
    counts = job.task_counts
    if not counts.total:
        return "Not planned yet"
    ended = ended_count(counts)
    if ended < counts.total:
        return f"{ended:,} of {count(counts.total, 'task')}"
    if counts.cancelled:
        return f"Cancelled after {ended - counts.cancelled:,} of {count(counts.total, 'task')}"
    failed = f", {counts.error:,} failed" if counts.error else ""
    return f"{count(counts.total, 'task')}{failed}"


def _dataset_names(client: Client, datasets: set[str]) -> dict[str, str]:
    known: dict[str, str] = st.session_state.setdefault("dataset-names", {})
    for name in datasets - known.keys():
        known[name] = client.get_dataset(name).display_name
    return known
