from __future__ import annotations

import json
import re
from typing import Any

import pytest
from kmeans.v1 import job_pb2, task_pb2

from kmeans_client import Client
from tests.gated_fits import GatedFits
from tests.integration.ui.conftest import as_read


def words(app: Any) -> str:
    shown = (*app.markdown, *app.caption, *app.title, *app.error, *app.info)
    html = [str(each.proto.body) for each in app.get("html")]
    return as_read("\n".join([*(str(each.value) for each in shown), *html]))


def has(app: Any, key: str) -> bool:
    return any(button.key == key for button in app.button)


def page(open_page: Any, job: job_pb2.Job, **params: str) -> Any:
    return open_page("job", id=job.name.removeprefix("jobs/"), **params)


def held_after(done: int, fits: GatedFits, submit: Any, client: Client) -> job_pb2.Job:
    """A job of 48 tasks of which so many are done and the others wait."""
    fits.close(after=done)
    job: job_pb2.Job = submit("Held", n_experiments=4)
    for step in client.watch_job(job.name):
        if step.job.task_counts.done >= done:
            break
    return job


def test_a_running_job_shows_its_progress_and_scores_and_can_be_cancelled(
    open_page: Any, submit: Any, client: Client, fits: GatedFits
) -> None:
    job = held_after(6, fits, submit, client)
    app = page(open_page, job, view="Progress")
    assert "**6** of 48 tasks" in words(app)
    assert "6 done" in words(app)
    assert "Running" in words(app)
    assert len(app.get("plotly_chart")) == 1
    app.button("cancel").click().run()
    assert "What has ended is kept" in words(app)
    # The question is a fragment, which is answered in a browser alone (tests/e2e/dashboard).
    assert client.get_job(job.name).state == job_pb2.JOB_STATE_RUNNING
    client.cancel_job(job.name)
    fits.open()
    app = page(open_page, job)
    assert "Cancelled" in words(app)
    assert not has(app, "cancel")
    app.button("go-on").click().run()
    *_, last = client.watch_job(job.name)
    assert last.job.state == job_pb2.JOB_STATE_SUCCEEDED


def test_failed_tasks_show_their_reason_and_run_again(
    open_page: Any, submit: Any, finish: Any, client: Client, fits: GatedFits
) -> None:
    fits.failing = {(2, "diag-tied")}
    job = finish(submit("Broken"))
    assert job.task_counts.error == 2
    app = page(open_page, job, view="Tasks")
    assert "The rows of this test cannot be fitted." in words(app)
    assert "**2 tasks failed**" in words(app)
    assert "K = 2 diag-tied (experiment 0), K = 2 diag-tied (experiment 1)" in words(app)
    fits.failing.clear()
    app.button("retry-all-failed").click().run()
    assert not app.exception
    assert finish(job).state == job_pb2.JOB_STATE_SUCCEEDED
    assert not has(page(open_page, job), "retry-failed")


def test_one_failed_task_can_be_run_again_alone(
    open_page: Any, submit: Any, finish: Any, client: Client, fits: GatedFits
) -> None:
    fits.failing = {(2, "diag-tied"), (1, "full-tied")}
    job = finish(submit("Broken", n_experiments=1))
    app = page(open_page, job, view="Tasks")
    app.multiselect("filter-states").set_value(["error"]).run()
    table = app.dataframe[0]
    assert table.value["state"].tolist() == ["error", "error"]
    assert has(app, "retry-selected")
    fits.failing.clear()
    (name,) = (task.name for task in client.list_tasks(job.name, k=2, covariances=["diag-tied"]))
    client.retry_job(job.name, [name])
    assert finish(job).task_counts.error == 1
    again = page(open_page, job, view="Tasks")
    assert "**1 task failed**" in words(again)


@pytest.mark.parametrize(("state", "rows"), [("done", 12), ("error", 0)])
def test_the_table_is_filtered(open_page: Any, submit: Any, finish: Any, state: str, rows: int) -> None:
    job = finish(submit("Sound", n_experiments=1))
    app = page(open_page, job, view="Tasks")
    app.multiselect("filter-states").set_value([state]).run()
    assert f"{rows} tasks" in words(app)
    app.slider("filter-k").set_value((2, 2)).run()
    assert f"{rows // 2} tasks" in words(app)
    app.multiselect("filter-covariances").set_value(["full-tied"]).run()
    assert len(app.dataframe[0].value) == (1 if rows else 0)


def test_change_and_run_again_opens_the_form_with_the_same_settings(
    open_page: Any, submit: Any, finish: Any
) -> None:
    job = finish(submit("First", max_k=2, seed=7, scale=False))
    app = page(open_page, job)
    app.button("run-again").click().run()
    assert not app.exception
    assert app.multiselect("form-columns").value == ["a", "b"]
    assert app.number_input("form-max_k").value == 2
    assert app.text_input("form-seed").value == "7"
    assert app.toggle("form-scale").value is False
    assert "24 tasks" in words(app)


def test_a_seed_beyond_what_a_browser_counts_exactly_is_kept(
    open_page: Any, submit: Any, finish: Any
) -> None:
    job = finish(submit("Far", max_k=1, n_experiments=1, seed=2**60 + 1))
    app = page(open_page, job)
    app.button("run-again").click().run()
    assert app.text_input("form-seed").value == str(2**60 + 1)
    assert not app.error
    for wrong in ("-1", "1.5", "x", str(2**63), ""):
        app.text_input("form-seed").set_value(wrong).run()
        assert [as_read(error.value) for error in app.error] == [
            "The seed must be a whole number from 0 to 9223372036854775807."
        ]
        assert app.button("start").disabled


def test_a_job_is_not_deleted_before_a_question_is_answered(
    open_page: Any, submit: Any, finish: Any, client: Client
) -> None:
    job = finish(submit("Old"))
    app = page(open_page, job)
    app.button("delete").click().run()
    assert "removed for good" in words(app)
    assert has(app, "delete-confirmed")
    assert client.get_job(job.name) == job


def test_an_address_that_names_nothing_leads_back(open_page: Any) -> None:
    app = open_page("job", id="0123456789abcdef")
    assert "0123456789abcdef" in app.error[0].value
    assert "names no job" in words(open_page("job"))


def test_every_view_of_a_finished_job_is_drawn(open_page: Any, submit: Any, finish: Any) -> None:
    job = finish(submit("Whole"))
    report = page(open_page, job, view="Report", min_members="1")
    (clusters,) = (json.loads(chart.proto.spec) for chart in report.get("plotly_chart"))
    assert len({trace["xaxis"] for trace in clusters["data"]}) == 6
    assert "K from 1 to 2" in words(page(open_page, job, view="Progress"))
    assert "24 done" in words(page(open_page, job, view="Progress"))
    assert len(page(open_page, job, view="Tasks").dataframe[0].value) == 24
    task = page(open_page, job, view="Task", min_members="1")
    # The one that the report recommends, with every row of its clusters.
    assert task.header[0].value == report.header[0].value
    (alone,) = (json.loads(chart.proto.spec) for chart in task.get("plotly_chart"))
    points = [trace for trace in alone["data"] if re.fullmatch(r"Cluster \d", trace["name"])]
    assert len(points) == int(str(report.header[0].value).split()[0])


def test_a_task_opens_on_what_the_report_recommends_and_not_on_a_degenerate_one(
    open_page: Any, submit: Any, finish: Any, client: Client
) -> None:
    # Of seven values, seven clusters without any spread have the highest likelihood by far.
    spec = {"columns": ["a"], "max_k": 9, "n_experiments": 1, "covariances": ["COVARIANCE_SPHER_UNTIED"]}
    job = finish(submit("Seven values", **spec))
    app = page(open_page, job, view="Task")
    assert app.selectbox("picked").value == client.get_report(job.name, 30).best.task
    first = next(client.list_tasks(job.name, best_first=True))
    assert first.state == task_pb2.TASK_STATE_DEGENERATE
    assert app.selectbox("picked").value != first.name


def test_a_running_job_has_a_report_that_says_of_what_it_is(
    open_page: Any, submit: Any, client: Client, fits: GatedFits
) -> None:
    job = held_after(6, fits, submit, client)
    app = page(open_page, job, view="Report", min_members="1")
    assert "Preliminary: of the 6 of 48 tasks that had ended when this was drawn." in words(app)
    assert not has(app, "draw-anew")
    assert "this may change" in words(app)
    assert len(app.get("plotly_chart")) == 1
    client.cancel_job(job.name)
    fits.open()
    assert "Preliminary" not in words(page(open_page, job, view="Report"))


def test_a_failed_task_says_why(open_page: Any, submit: Any, finish: Any, fits: GatedFits) -> None:
    fits.failing = {(2, "diag-tied")}
    job = finish(submit("Broken", n_experiments=1))
    app = page(open_page, job, view="Task", task="0-2-diag-tied")
    assert "This task failed: The rows of this test cannot be fitted." in words(app)
    assert not app.get("plotly_chart")
    assert not app.get("download_button")


def test_a_degenerate_task_says_so(open_page: Any, submit: Any, finish: Any, client: Client) -> None:
    spec = {"columns": ["a"], "max_k": 9, "n_experiments": 1, "covariances": ["COVARIANCE_SPHER_UNTIED"]}
    job = finish(submit("Seven values", **spec))
    assert job.task_counts.degenerate
    found = next(task for task in client.list_tasks(job.name) if task.state == task_pb2.TASK_STATE_DEGENERATE)
    app = page(open_page, job, view="Task", task=found.name.rpartition("/")[2])
    assert "degenerate and never recommended" in "\n".join(each.value for each in app.warning)
