"""The report of a job: what it recommends and why."""

from __future__ import annotations

import streamlit as st
from kmeans.v1 import job_pb2

from kmeans_client import Client

__all__ = ["show"]


def show(client: Client, job: job_pb2.Job) -> None:
    """Draw the report of a job, of what has ended so far while it runs."""
    report = client.get_report(job.name)
    st.write(f"K = {report.best.k}" if report.HasField("best") else "No fit qualifies.")
