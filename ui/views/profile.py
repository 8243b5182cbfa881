"""What makes the clusters of one fit different: in words, in a table and in plots."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from kmeans.v1 import dataset_pb2, job_pb2, task_pb2

from kmeans_client import Client
from ui.choices import choice
from ui.report import boxes, parallel, profiles, summary
from ui.report.material import deviations
from ui.report.notes import columns_note
from ui.report.sample import drawn_sentence
from ui.report.wording import share
from ui.views import fetching
from ui.views.figures import draw
from ui.views.theme import theme
from ui.words import count, plain

__all__ = ["show", "show_plots", "show_table"]

_MAX_SENTENCES = 12


def show(
    client: Client,
    job: job_pb2.Job,
    dataset: dataset_pb2.Dataset,
    name: str,
    places: Sequence[int] = (),
) -> None:
    """Draw the sentences, the differences, the centers and the distributions of a task's clusters."""
    task = fetching.task(client, job, name)
    columns = list(job.spec.columns)
    if len(task.clusters) < 2:
        st.markdown("There is one cluster: the rows are best described as a single group.")
    else:
        found = profiles.differences(task.clusters, deviations(dataset, columns))
        told = profiles.profiles(task.clusters, columns, found)
        for each in told[:_MAX_SENTENCES]:
            who, what = st.columns([1, 5])
            who.markdown(f"**Cluster {each.label}**  \n:gray[{each.count:,} rows, {share(each.weight)}]")
            what.markdown(plain(each.text))
        if len(told) > _MAX_SENTENCES:
            smaller = count(len(told) - _MAX_SENTENCES, "smaller cluster")
            st.caption(f"The {smaller} are in the plot and in the table below.")
        st.caption(
            "sd: the mean of the cluster minus that of all other rows, in standard deviations of the column; "
            "0.2 is small, 0.5 medium, 0.8 large."
        )
        draw(profiles.figure(task.clusters, columns, found, theme=theme()), "differences")
    show_table(task, columns)
    show_plots(client, job, dataset, task, places)


def show_table(task: task_pb2.Task, columns: list[str]) -> None:
    """Draw centers and spreads of a task's clusters in original units."""
    st.markdown("**Center ± standard deviation of each cluster, in the units of your table**")
    titles, rows = summary.center_table(task, columns)
    # By number and not by title, of which two may be the same.
    numbers = [str(place) for place in range(len(titles))]
    st.dataframe(
        pd.DataFrame(rows, columns=numbers),
        hide_index=True,
        width="stretch",
        key="centers",
        column_config={
            number: st.column_config.TextColumn(title) for number, title in zip(numbers, titles, strict=True)
        },
    )


def show_plots(
    client: Client,
    job: job_pb2.Job,
    dataset: dataset_pb2.Dataset,
    task: task_pb2.Task,
    places: Sequence[int] = (),
) -> None:
    """Draw box plots or parallel coordinates of the columns of a task, most distinctive first."""
    columns = list(job.spec.columns)
    found = profiles.differences(task.clusters, deviations(dataset, columns))
    order = profiles.most_distinctive(found, [cluster.count for cluster in task.clusters])
    ordered = [columns[place] for place in order]
    kind = st.segmented_control(
        "Distribution of each column",
        ["Box plots", "Parallel coordinates"],
        default=choice("profile-kind", "Box plots"),
        key="profile-kind",
        required=True,
    )
    limit = boxes.MAX_COLUMNS if kind == "Box plots" else parallel.MAX_COLUMNS
    rows = fetching.sample(client, job, ordered[:limit])
    labels = fetching.labels(client, job, task.name, rows)
    axes = [rows.axis(name) for name in ordered[:limit]]
    if kind == "Box plots":
        draw(boxes.figure(axes, labels, places=places, theme=theme()), "boxes")
    else:
        draw(parallel.figure(axes, labels, places=places, theme=theme()), "parallel")
    st.caption(f"{drawn_sentence(rows)} {columns_note(limit, len(ordered))}".strip())
