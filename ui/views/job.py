"""One job: where it stands, and the views of what it found."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import streamlit as st
from kmeans.v1 import job_pb2, task_pb2

from kmeans_client import Client, KMeansError, covariance_name, has_ended
from ui import address, choices, links
from ui.connection import connect, sentences
from ui.states import job_badge
from ui.views import fetching, report, running, task, tasks
from ui.views.progress import draw_progress
from ui.words import age, count, duration, moment, plain

__all__ = ["VIEWS", "show"]

VIEWS = ("Report", "Progress", "Tasks", "Task")

_BEST_TASKS = 200


def show() -> None:
    """Draw the job that the address names."""
    identifier = st.query_params.get("id", "").strip()
    if not identifier:
        st.title("Job", anchor=False)
        st.info("The address names no job. Choose one from the list.", icon=":material/info:")
        links.link_to(links.JOBS, "All jobs", icon=":material/list_alt:")
        return
    with sentences():
        client = connect()
        try:
            job = client.get_job(links.job_name(identifier))
        except KMeansError:
            links.link_to(links.JOBS, "All jobs", icon=":material/arrow_back:")
            raise
        choices.begin(job.name)
        _header(client, job)
        if not has_ended(job):
            running.header(job)
        view = _chosen_view(job)
        if view == "Report":
            if not has_ended(job):
                running.report_age(job)
            report.show(client, job)
        elif view == "Progress":
            _progress(job)
        elif view == "Tasks":
            tasks.show(client, job)
        else:
            _one_task(client, job)


def _header(client: Client, job: job_pb2.Job) -> None:
    links.link_to(links.JOBS, "All jobs", icon=":material/arrow_back:")
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.title(plain(job.display_name), anchor=False, width="content")
            if has_ended(job):
                word, icon, colour = job_badge(job)
                st.badge(word, icon=icon, color=colour)
        _actions(client, job)
    st.caption(" · ".join(_facts(job)))
    if job.failure:
        st.error(plain(job.failure), icon=":material/error:")


def _facts(job: job_pb2.Job) -> list[str]:
    spec = job.spec
    facts = [
        count(job.row_count, "row"),
        count(len(spec.columns), "column"),
        f"K from 1 to {spec.max_k}",
        count(spec.n_experiments, "experiment"),
        count(len(spec.covariances), "covariance model"),
        f"begun {age(moment(job.create_time), datetime.now(UTC))}",
    ]
    if job.HasField("end_time") and job.HasField("start_time"):
        seconds = (moment(job.end_time) - moment(job.start_time)).total_seconds()
        facts.append(f"took {duration(seconds)}")
    return [*facts, f"`{job.name.removeprefix('jobs/')}`"]


def _actions(client: Client, job: job_pb2.Job) -> None:
    with st.container(horizontal=True, width="content", gap="small"):
        if not has_ended(job):
            if st.button("Cancel", icon=":material/stop_circle:", key="cancel"):
                _confirm_cancel(client, job)
            return
        failed = job.task_counts.error
        if failed and st.button(
            f"Run {count(failed, 'failed task')} again", icon=":material/replay:", key="retry-failed"
        ):
            client.retry_job(job.name, states=[task_pb2.TASK_STATE_ERROR])
            links.open_job(job.name, "progress")
        if job.state == job_pb2.JOB_STATE_CANCELLED and st.button(
            "Go on", icon=":material/play_arrow:", key="go-on", help="Run the tasks that were cancelled."
        ):
            client.retry_job(job.name)
            links.open_job(job.name, "progress")
        if st.button(
            "Change and run again",
            icon=":material/tune:",
            key="run-again",
            help="Opens a new analysis filled in with this one's table and settings.",
        ):
            links.run_again(job.spec)
        if st.button("Delete", icon=":material/delete:", key="delete", type="tertiary"):
            _confirm_delete(client, job)


@st.dialog("Cancel this job?")
def _confirm_cancel(client: Client, job: job_pb2.Job) -> None:
    st.write("Tasks under way are stopped. What has ended is kept, and the job can go on later.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it running", key="keep-running"):
            st.rerun()
        if st.button("Cancel the job", type="primary", key="cancel-confirmed"):
            with sentences("dialog"):
                client.cancel_job(job.name)
                st.rerun()


@st.dialog("Delete this job?")
def _confirm_delete(client: Client, job: job_pb2.Job) -> None:
    st.write(f"“{plain(job.display_name)}” and all it found are removed for good. Its table stays.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="keep"):
            st.rerun()
        if st.button("Delete it", type="primary", key="delete-confirmed"):
            with sentences("dialog"):
                client.delete_job(job.name)
                links.open_page(links.JOBS)


def _chosen_view(job: job_pb2.Job) -> str:
    first = "Report" if has_ended(job) else "Progress"
    told = address.follow(
        "view", "view", lambda told: told.capitalize() if told.capitalize() in VIEWS else first
    )
    if st.session_state.pop(running.ENDED, "") == job.name and st.session_state["view"] == "Progress":
        told = st.session_state["view"] = "Report"
    view = st.segmented_control(
        "View",
        VIEWS,
        default=told,
        key="view",
        required=True,
        label_visibility="collapsed",
    )
    address.say("view", str(view), first)
    return str(view)


def _progress(job: job_pb2.Job) -> None:
    if not has_ended(job):
        running.scores(job)
    else:
        draw_progress(job.task_counts, legend=True)
    with st.expander("What this job computes", icon=":material/settings:", expanded=has_ended(job)):
        spec = job.spec
        st.markdown(
            "\n".join(
                f"- **{label}**: {value}"
                for label, value in (
                    ("Columns", ", ".join(plain(name) for name in spec.columns)),
                    ("Clusters", f"K from 1 to {spec.max_k}"),
                    ("Covariance models", ", ".join(covariance_name(each) for each in spec.covariances)),
                    (
                        "Experiments",
                        f"{spec.n_experiments:,}, each the best of {count(spec.n_init, 'start')}",
                    ),
                    ("Scaling", "each column to mean 0 and variance 1" if spec.scale else "none"),
                    ("Seed", f"{spec.seed}"),
                    ("Iterations per start", f"at most {spec.max_iter:,}"),
                    ("Rows", _rows(job)),
                )
            )
        )


def _rows(job: job_pb2.Job) -> str:
    if not job.skipped_row_count:
        return f"{job.row_count:,}"
    return (
        f"{job.row_count:,}, and {job.skipped_row_count:,} left out because a chosen column is missing there"
    )


def _one_task(client: Client, job: job_pb2.Job) -> None:
    best_first = islice(client.list_tasks(job.name, best_first=True), _BEST_TASKS)
    names = {each.name: each for each in best_first if each.HasField("result")}
    min_members = report.read_min_members(st.query_params.get(links.MIN_MEMBERS, ""))
    found = fetching.report(client, job, min_members)
    best = found.best if found.HasField("best") else None
    # Where the report recommends none, the one of the highest BIC.
    recommended = best.task if best is not None else next(iter(names), "")
    chosen = st.query_params.get("task", "")
    for wanted in (f"{job.name}/tasks/{chosen}" if chosen else "", recommended):
        if wanted and wanted not in names:
            names[wanted] = client.get_task(wanted)
    if not names:
        st.info("No task has ended yet.", icon=":material/hourglass_empty:")
        return
    told = address.follow("task", "picked", lambda told: f"{job.name}/tasks/{told}" if told else recommended)
    picked = st.selectbox(
        "Task",
        list(names),
        index=list(names).index(told),
        format_func=lambda name: _task_label(names[name]),
        help="Best BIC first.",
        key="picked",
    )
    # Of the task that opens by itself the address says nothing: Back would only lead here again.
    address.say("task", str(picked).rpartition("/")[2], recommended.rpartition("/")[2])
    task.show(client, job, str(picked), best)


def _task_label(one: task_pb2.Task) -> str:
    model = covariance_name(one.covariance)
    score = f", BIC {one.result.bic:,.2f}" if one.HasField("result") else ""
    return f"K = {one.k}, {model}, experiment {one.experiment}{score}"
