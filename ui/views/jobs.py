"""The list of jobs."""

from __future__ import annotations

import streamlit as st

from kmeans_client import state_name
from ui import links
from ui.connection import connect, sentences

__all__ = ["show"]


def show() -> None:
    """Draw the list, newest first."""
    st.title("Jobs")
    with sentences():
        for job in connect().list_jobs():
            links.link_to(
                links.JOB, f"{job.display_name} ({state_name(job)})", params=links.job_params(job.name)
            )
