"""One job: where it stands, and the views of what it found."""

from __future__ import annotations

import streamlit as st

from kmeans_client import has_ended, state_name
from ui import links
from ui.connection import connect, sentences
from ui.views import report, task

__all__ = ["show"]

_VIEWS = {"report": "Report", "tasks": "Tasks", "task": "One task"}


def show() -> None:
    """Draw the job that the address names."""
    name = links.job_name(st.query_params.get("id", ""))
    with sentences():
        client = connect()
        job = client.get_job(name)
        st.title(job.display_name)
        st.caption(f"{state_name(job)}, {'ended' if has_ended(job) else 'under way'}")
        view = st.segmented_control(
            "View",
            list(_VIEWS),
            format_func=_VIEWS.__getitem__,
            default="report",
            key="view",
            bind="query-params",
            required=True,
            label_visibility="collapsed",
        )
        if view == "report":
            report.show(client, job)
        elif view == "task":
            task.show(client, job, f"{job.name}/tasks/{st.query_params.get('task', '')}")
