"""What is in a table: some rows, and what the service found in each column."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st
from kmeans.v1 import dataset_pb2, dataset_service_pb2

from kmeans_client import Client
from ui.columns import choose_columns, kind_word
from ui.words import count, plain, size

__all__ = ["Table", "column_frame", "load", "sample_frame", "show"]

_ROWS = 100
_KEPT = "previewed-table"


@dataclass(frozen=True, slots=True)
class Table:
    """A dataset and some of its rows."""

    message: dataset_pb2.Dataset
    sample: dataset_service_pb2.SampleDatasetResponse


def load(client: Client, name: str) -> Table:
    """The table `datasets/{dataset}`; the last one of a session is kept, for it never changes."""
    kept: Table | None = st.session_state.get(_KEPT)
    if kept is None or kept.message.name != name:
        kept = Table(client.get_dataset(name), client.sample_dataset(name, max_rows=_ROWS))
        st.session_state[_KEPT] = kept
    return kept


def show(table: Table) -> None:
    """Draw the table's name and size, its rows and its columns."""
    dataset = table.message
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title(plain(dataset.display_name), anchor=False, width="content")
        if st.button("Other table", icon=":material/swap_horiz:", key="other-table"):
            del st.query_params["dataset"]
            st.rerun()
    missing = sum(column.missing_count for column in dataset.columns)
    st.caption(
        " · ".join(
            (
                count(dataset.row_count, "row"),
                count(len(dataset.columns), "column"),
                size(dataset.size_bytes),
                f"{count(missing, 'cell')} missing" if missing else "no cell missing",
            )
        )
    )
    columns, rows = st.tabs(["Columns", "Rows"])
    with columns:
        number = st.column_config.NumberColumn
        st.dataframe(
            column_frame(dataset),
            hide_index=True,
            placeholder="",
            height="content" if len(dataset.columns) <= 10 else 390,
            column_config={
                "Missing": number(format="localized", width=80),
                **{
                    name: number(format="%.5g", width=118)
                    for name in ("Smallest", "Mean", "Largest", "Spread")
                },
                "Note": st.column_config.TextColumn(width="large"),
            },
        )
        st.caption("Spread is the standard deviation.")
    with rows:
        st.dataframe(sample_frame(table.sample), height=390)
        if table.sample.row_count > len(table.sample.rows):
            st.caption(
                f"{count(len(table.sample.rows), 'row')} picked at random of {table.sample.row_count:,}; "
                "on the left is the number of each."
            )


def column_frame(dataset: dataset_pb2.Dataset) -> pd.DataFrame:
    """One row per column: what its cells are, how many are missing, and the statistics of its numbers."""
    rows = []
    for column, choice in zip(dataset.columns, choose_columns(dataset.columns), strict=True):
        known = column.statistics if column.HasField("statistics") else None
        rows.append(
            {
                "Column": column.name,
                "Type": kind_word(column),
                "Missing": column.missing_count,
                "Smallest": None if known is None else known.minimum,
                "Mean": None if known is None else known.mean,
                "Largest": None if known is None else known.maximum,
                "Spread": None if known is None else known.standard_deviation,
                "Note": choice.note,
            }
        )
    return pd.DataFrame(rows)


def sample_frame(sample: dataset_service_pb2.SampleDatasetResponse) -> pd.DataFrame:
    """The sampled rows, numbered from 1 as in the file."""
    return pd.DataFrame(
        {column.name: list(column.numbers or column.texts) for column in sample.columns},
        index=[row + 1 for row in sample.rows],
    )
