"""The tasks of a job: filtered, sorted, downloaded, looked at, run again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st
from kmeans.v1 import job_pb2, task_pb2

from kmeans_client import Client, covariance_name, has_ended
from ui import links
from ui.choices import choice
from ui.connection import sentences
from ui.states import TASK_STATES
from ui.task_table import TaskFilter, filter_tasks, to_csv
from ui.views.running import live
from ui.words import count, plain

__all__ = ["show"]

_LIVE_SECONDS = 2.0
_SHOWN = ("k", "covariance", "experiment", "state", "bic", "aic", "smallest_cluster", "seconds", "reason")
_TABLE_HEIGHT = 460


def show(client: Client, job: job_pb2.Job) -> None:
    """Draw the filters and the table; live while the job runs."""
    wanted = _filters(job)
    if has_ended(job):
        with sentences("tasks"):
            _table(client, job, wanted)
    else:
        _live_table(client, job, wanted)


def _filters(job: job_pb2.Job) -> TaskFilter:
    state, covariance, k, experiment = st.columns([3, 3, 2, 2], gap="medium")
    states = state.multiselect(
        "State", TASK_STATES, choice("filter-states", []), key="filter-states", placeholder="Any"
    )
    covariances = covariance.multiselect(
        "Covariance",
        [covariance_name(each) for each in job.spec.covariances],
        default=choice("filter-covariances", []),
        key="filter-covariances",
        placeholder="Any",
    )
    highest = job.spec.max_k
    k_range = None
    if highest > 1:
        low, high = k.slider("K", 1, highest, choice("filter-k", (1, highest)), key="filter-k")
        k_range = (low, high)
    experiments = experiment.multiselect(
        "Experiment",
        range(job.spec.n_experiments),
        default=choice("filter-experiments", []),
        key="filter-experiments",
        placeholder="Any",
    )
    return TaskFilter(tuple(states), tuple(covariances), k_range, tuple(experiments))


@st.fragment(run_every=_LIVE_SECONDS)
def _live_table(client: Client, job: job_pb2.Job, wanted: TaskFilter) -> None:
    with sentences("tasks", is_told=True):
        _table(client, job, wanted)


def _table(client: Client, job: job_pb2.Job, wanted: TaskFilter) -> None:
    now = live(job)
    if now is None or now.tasks.empty:
        st.info("Its tasks are not planned yet.", icon=":material/hourglass_empty:")
        return
    rows = filter_tasks(now.tasks, wanted)
    selected = _draw(rows, job)
    with st.container(horizontal=True, vertical_alignment="center"):
        _selection_actions(client, job, rows[rows["task"].isin(selected)])
        st.download_button(
            "Download the tasks (CSV)",
            # Made when clicked: a live table is drawn every two seconds.
            partial(to_csv, rows),
            file_name=f"tasks-{job.name.removeprefix('jobs/')}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="download-tasks",
        )
    _failed(client, job, now.tasks[now.tasks["state"] == "error"])


def _draw(rows: pd.DataFrame, job: job_pb2.Job) -> Sequence[str]:
    """Draw the rows and return the names of those that are selected."""
    st.caption(
        f"{count(len(rows), 'task')}. Click a column's name to sort; tick rows to look at one or to run "
        "some again."
    )
    shown = rows.loc[:, list(_SHOWN)]
    if not rows["reason"].any():
        shown = shown.drop(columns="reason")
    number = st.column_config.NumberColumn
    columns = {
        "k": number("K", width=50),
        "covariance": st.column_config.TextColumn("Covariance", width=110),
        "experiment": number("Experiment", width=90),
        "state": st.column_config.TextColumn("State", width=90),
        "bic": number("BIC", format="%.2f", help="Higher is better."),
        "aic": number("AIC", format="%.2f", help="Higher is better."),
        "smallest_cluster": number("Smallest cluster", width=120, format="localized"),
        "seconds": number("Seconds", format="%.3f", width=80, help="Compute time of the last attempt."),
        "reason": st.column_config.TextColumn("Reason", width="large"),
    }
    # Selections are positions: other rows, or the same ones after a retry, are another table.
    key = f"live-task-table-{job.revision}-{hash(tuple(rows.index))}"
    chosen = st.dataframe(
        shown,
        hide_index=True,
        placeholder="",
        height=_TABLE_HEIGHT,
        column_config=columns,
        key=key,
        on_select="rerun",
        selection_mode="multi-row",
    )
    names = rows["task"].tolist()
    return [names[position] for position in chosen["selection"]["rows"] if position < len(names)]


def _selection_actions(client: Client, job: job_pb2.Job, selected: pd.DataFrame) -> None:
    if st.button(
        "Look at it",
        icon=":material/visibility:",
        disabled=len(selected) != 1,
        key="look-at-task",
        help="Tick one task to see its clusters.",
    ):
        links.open_job(job.name, "task", selected["task"].iloc[0])
    label = f"Run {count(len(selected), 'task')} again" if len(selected) else "Run again"
    if st.button(
        label,
        icon=":material/replay:",
        # What is still to run is run anyway.
        disabled=selected.empty or bool(selected["state"].isin(["pending", "running"]).any()),
        key="retry-selected",
        help="The same task gives the same result, unless something else went wrong.",
    ):
        client.retry_job(job.name, selected["task"].tolist())
        links.open_job(job.name, "progress")


def _failed(client: Client, job: job_pb2.Job, failed: pd.DataFrame) -> None:
    if failed.empty:
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{count(len(failed), 'task')} failed**", width="content")
            if st.button("Run all failed again", icon=":material/replay:", key="retry-all-failed"):
                client.retry_job(job.name, states=[task_pb2.TASK_STATE_ERROR])
                links.open_job(job.name, "progress")
        for reason, tasks in failed.groupby("reason", sort=False):
            some = ", ".join(
                f"K = {each.k} {each.covariance} (experiment {each.experiment})"
                for each in tasks.head(5).itertuples()
            )
            more = f" and {len(tasks) - 5:,} more" if len(tasks) > 5 else ""
            st.error(f"{plain(str(reason))}\n\n{some}{more}", icon=":material/error:")
