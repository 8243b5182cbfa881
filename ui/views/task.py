"""One task of a job alone: its clusters in original units."""

from __future__ import annotations

import streamlit as st
from kmeans.v1 import job_pb2

from kmeans_client import Client

__all__ = ["show"]


def show(client: Client, job: job_pb2.Job, task_name: str) -> None:
    """Draw the task `jobs/{job}/tasks/{task}` of `job`."""
    task = client.get_task(task_name)
    st.write(f"K = {task.k}, {len(task.clusters)} clusters")
