"""One task of a job alone: its clusters on axes of choice, and what makes them different."""

from __future__ import annotations

import streamlit as st
from kmeans.v1 import dataset_pb2, job_pb2, report_pb2, task_pb2

from kmeans_client import Client, covariance_name
from ui.choices import choice
from ui.report import histogram, map, matrix, scatter, sizes
from ui.report.panels import Panel
from ui.report.sample import drawn_sentence, map_columns
from ui.report.wording import counted
from ui.views import fetching, profile, take_away
from ui.views.figures import choose_image, draw
from ui.views.report_sections import choose_axes, distinctive_columns, ellipses_note
from ui.views.theme import theme
from ui.words import plain

__all__ = ["show"]

_AXES, _MATRIX, _MAP = "Two columns", "Every pair", "Map"
_DIFFERENT, _SIZES = "What differs", "Sizes"


def show(
    client: Client, job: job_pb2.Job, task_name: str, best: report_pb2.Recommendation | None = None
) -> None:
    """Draw the task `jobs/{job}/tasks/{task}` of `job`, in the colours of the `best` of its report."""
    task = fetching.task(client, job, task_name)
    st.header(f"{counted(task.k, 'cluster')}, {covariance_name(task.covariance)}", anchor=False)
    st.caption(f"Experiment {task.experiment} · `{task.name.rpartition('/')[2]}`")
    if not task.HasField("result"):
        _explain_missing(task)
        return
    _scores(task)
    if task.result.diagnosis:
        st.warning(
            f"This fit is degenerate and never recommended: {plain(task.result.diagnosis)}",
            icon=":material/warning:",
        )
    if not task.clusters:
        st.info("This fit kept no model, so there is nothing to draw of it.", icon=":material/info:")
        return
    take_away.draw(client, job, task.name)
    _sections(client, job, fetching.dataset(client, job), task, best)


def _explain_missing(task: task_pb2.Task) -> None:
    if task.error:
        st.error(f"This task failed: {plain(task.error)}", icon=":material/error:")
    elif task.state == task_pb2.TASK_STATE_CANCELLED:
        st.info("This task was cancelled before it was fitted. Run it again from the tasks' list.")
    else:
        st.info("This task has not been fitted yet.", icon=":material/hourglass_empty:")


def _scores(task: task_pb2.Task) -> None:
    result = task.result
    facts = {
        "BIC": f"{result.bic:,.1f}",
        "AIC": f"{result.aic:,.1f}",
        "log-likelihood": f"{result.log_likelihood:,.1f}",
        "parameters": f"{result.n_parameters:,}",
        "smallest cluster": f"{min(result.counts, default=0):,}",
        "iterations": f"{result.n_iter:,}" + ("" if result.converged else " (not converged)"),
    }
    with st.container(horizontal=True, gap="large"):
        for name, value in facts.items():
            st.markdown(f":gray[{name}]  \n**{plain(value.replace('-', '−'))}**", width="content")
    if result.regularized:
        st.caption("A covariance was singular; its smallest eigenvalues were raised to the floor.")


def _sections(
    client: Client,
    job: job_pb2.Job,
    dataset: dataset_pb2.Dataset,
    task: task_pb2.Task,
    best: report_pb2.Recommendation | None,
) -> None:
    columns = list(job.spec.columns)
    names = [_AXES, *([_MATRIX] if len(columns) > 2 else []), *([_MAP] if map_columns(dataset) else [])]
    sections = [*names, _DIFFERENT, _SIZES]
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        chosen = st.segmented_control(
            "Section",
            sections,
            default=choice("task-section", _AXES, sections),
            key="task-section",
            required=True,
            label_visibility="collapsed",
        )
        choose_image()
    where = map_columns(dataset)
    with st.spinner(f"Drawing: {chosen}", show_time=False):
        # In the report, too, its clusters look like those of the best fit.
        places = fetching.places(client, job, task, best)
        if chosen == _DIFFERENT:
            profile.show(client, job, dataset, task.name, places)
        elif chosen == _SIZES:
            draw(sizes.figure(task.result.counts, places=places, theme=theme()), "sizes")
            profile.show_table(task, columns)
        elif chosen == _MAP and where is not None:
            _map(client, job, task, where, places)
        elif chosen == _MATRIX and len(columns) > 2:
            _matrix(client, job, dataset, task, places)
        else:
            _axes(client, job, dataset, task, places)


def _axes(
    client: Client,
    job: job_pb2.Job,
    dataset: dataset_pb2.Dataset,
    task: task_pb2.Task,
    places: list[int],
) -> None:
    axes = choose_axes(client, job, dataset, task.name, "task")
    rows = fetching.sample(client, job, axes)
    labels = fetching.labels(client, job, task.name, rows)
    panel = Panel("", labels, task.clusters, list(job.spec.columns), places=places)
    x = rows.axis(axes[0])
    if len(axes) == 1:
        draw(histogram.figure(x, panel, theme=theme()), "one")
    else:
        draw(scatter.figure(x, rows.axis(axes[1]), panel, theme=theme()), "one")
    st.caption(" ".join([drawn_sentence(rows, *axes), *ellipses_note(job, axes)]))


def _map(
    client: Client, job: job_pb2.Job, task: task_pb2.Task, axes: tuple[str, str], places: list[int]
) -> None:
    rows = fetching.sample(client, job, axes)
    panel = Panel("", fetching.labels(client, job, task.name, rows), places=places)
    draw(map.figure(rows.axis(axes[0]), rows.axis(axes[1]), panel, theme=theme()), "one-map")
    st.caption(f"{drawn_sentence(rows, *axes)} A kilometre is as long in both directions.")


def _matrix(
    client: Client,
    job: job_pb2.Job,
    dataset: dataset_pb2.Dataset,
    task: task_pb2.Task,
    places: list[int],
) -> None:
    columns = distinctive_columns(client, job, dataset, task.name)[: matrix.MAX_COLUMNS]
    rows = fetching.sample(client, job, columns)
    labels = fetching.labels(client, job, task.name, rows)
    axes = [rows.axis(name) for name in columns]
    drawn = matrix.figure(axes, labels, places=places, column_count=len(job.spec.columns), theme=theme())
    draw(drawn, "matrix")
    st.caption(drawn_sentence(rows))
