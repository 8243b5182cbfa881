"""A new analysis: a table, its columns, and what to compute."""

from __future__ import annotations

import streamlit as st

from ui import links
from ui.connection import connect, sentences
from ui.views import analysis_form, table_choice, table_preview

__all__ = ["show"]


def show() -> None:
    """Draw the steps from a table to a submitted job."""
    prefill = links.take_prefill()
    if prefill is not None:
        st.query_params["dataset"] = prefill.dataset.removeprefix("datasets/")
    with sentences():
        client = connect()
        chosen = st.query_params.get("dataset", "")
        if not chosen:
            st.title("New analysis", anchor=False)
            st.caption(
                "Which groups are in a table, how many, and of which shape? Every number of clusters up to a "
                "bound is tried with six shapes of clusters, and the Bayesian Information Criterion chooses."
            )
            table_choice.show(client)
            return
        dataset = table_preview.load(client, f"datasets/{chosen}")
        table_preview.show(dataset)
        analysis_form.show(client, dataset.message, prefill)
