"""What a reader takes home: labels, report and model."""

from __future__ import annotations

import re
from functools import partial

import streamlit as st
from kmeans.v1 import job_pb2

from kmeans_client import Client
from ui.views import fetching

__all__ = ["draw"]


def draw(client: Client, job: job_pb2.Job, task: str, min_members: int | None = None) -> None:
    """Draw the buttons for one task; that of the report where `min_members` says which report."""
    stem = _stem(job.display_name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        # Made when clicked: a large table need not wait on the page for a reader who never asks.
        st.download_button(
            "Labels (CSV)",
            partial(fetching.label_file, client, task),
            file_name=f"{stem}-labels.csv",
            mime="text/csv",
            icon=":material/table_view:",
            key=f"download-labels-{task}",
            on_click="ignore",
            help="Your rows and columns, and the label of each. The label is empty where a chosen column is "
            "missing.",
        )
        if min_members is not None:
            st.download_button(
                "Report (HTML)",
                partial(fetching.html_file, client, job.name, min_members),
                file_name=f"{stem}-report.html",
                mime="text/html",
                icon=":material/article:",
                key="download-report",
                on_click="ignore",
                help="One file with every plot; opens anywhere, without a network.",
            )
        st.download_button(
            "Model (JSON)",
            partial(fetching.model_file, client, task),
            file_name=f"{stem}-model.json",
            mime="application/json",
            icon=":material/data_object:",
            key=f"download-model-{task}",
            on_click="ignore",
            help="Weights, centers and covariances in your units, to label new rows with.",
        )
        st.download_button(
            "Model (ONNX)",
            partial(fetching.onnx_file, client, task),
            file_name=f"{stem}-model.onnx",
            mime="application/octet-stream",
            icon=":material/deployed_code:",
            key=f"download-onnx-{task}",
            on_click="ignore",
            help="The same for ONNX runtimes, which exist for most languages: rows in, labels out.",
        )


def _stem(name: str) -> str:
    """A name that is safe for a file of any system."""
    return re.sub(r"[^\w.-]+", "-", name.rsplit(".", 1)[0]).strip("-.")[:80] or "kmeans"
