"""How one page leads to another: page, job, view and task are all in the address, so that it can be shared.

/jobs                                     the list of jobs
/job?id=4f2a                              one job, its report
/job?id=4f2a&view=Tasks                   another of its views: Report, Progress, Tasks, Task
/job?id=4f2a&view=Task&task=0-3-full-tied one of its tasks
/job?id=4f2a&min_members=10               its report of fits whose clusters have ten rows at least
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

import streamlit as st
from kmeans.v1 import job_pb2
from streamlit.navigation.page import Page

__all__ = [
    "JOB",
    "JOBS",
    "MIN_MEMBERS",
    "NEW_ANALYSIS",
    "PREFILL",
    "job_name",
    "job_params",
    "link_to",
    "open_job",
    "open_page",
    "remember_pages",
    "run_again",
    "take_prefill",
]

NEW_ANALYSIS = ""
JOBS = "jobs"
JOB = "job"
MIN_MEMBERS = "min_members"

_PAGES = "pages-by-path"
PREFILL = "prefilled-spec"


def remember_pages(pages: Iterable[Page]) -> None:
    """Keep this session's pages, for the links between them."""
    st.session_state[_PAGES] = {page.url_path: page for page in pages}


def job_params(job: str, view: str = "", task: str = "") -> dict[str, str]:
    """Query parameters of `jobs/{job}`'s page; `view` in any case, `task` is `jobs/{job}/tasks/{task}`."""
    params = {"id": job.removeprefix("jobs/")}
    if view:
        params["view"] = view.capitalize()
    if task:
        params["task"] = task.rpartition("/")[2]
    return params


def job_name(identifier: str) -> str:
    """`jobs/{job}` of what stands in an address, with the prefix or without."""
    return f"jobs/{identifier.strip().removeprefix('jobs/')}"


def open_page(path: str, params: dict[str, str] | None = None) -> NoReturn:
    """Go to a page of this session now."""
    st.switch_page(st.session_state[_PAGES][path], query_params=params)


def open_job(job: str, view: str = "", task: str = "") -> NoReturn:
    """Go to the page of `jobs/{job}`, to one of its views or one of its tasks."""
    params = job_params(job, view, task)
    if st.query_params.get("id") == params["id"] and MIN_MEMBERS in st.query_params:
        # The same report, looked at from elsewhere.
        params[MIN_MEMBERS] = st.query_params[MIN_MEMBERS]
    open_page(JOB, params)


def link_to(path: str, label: str, *, icon: str | None = None, params: dict[str, str] | None = None) -> None:
    """Draw a link to a page of this session."""
    st.page_link(st.session_state[_PAGES][path], label=label, icon=icon, query_params=params)


def run_again(spec: job_pb2.JobSpec) -> NoReturn:
    """Open the new analysis filled in with this spec, its dataset included; nothing is submitted."""
    st.session_state[PREFILL] = spec.SerializeToString()
    open_page(NEW_ANALYSIS)


def take_prefill() -> job_pb2.JobSpec | None:
    """The spec that `run_again` left, once."""
    kept = st.session_state.pop(PREFILL, None)
    return None if kept is None else job_pb2.JobSpec.FromString(kept)
