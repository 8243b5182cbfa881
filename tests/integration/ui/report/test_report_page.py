"""The report of a job, as a reader uses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import onnxruntime
import pytest
from kmeans.v1 import job_pb2
from streamlit.testing.v1 import AppTest

from kmeans_client import Client
from tests.integration.ui.conftest import as_read
from tests.integration.ui.report.conftest import HOSTILE, REPORT, TASK, opened, ran
from ui import links
from ui.views import fetching


def plots(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def words(app: AppTest) -> str:
    parts = [*app.header, *app.markdown, *app.caption, *app.warning, *app.info]
    return as_read("\n".join(str(part.value) for part in parts))


def section(app: AppTest, name: str, key: str = "section") -> AppTest:
    app.session_state[key] = name
    return ran(app)


@pytest.fixture
def page(job: job_pb2.Job) -> AppTest:
    return opened(REPORT, id=job.name)


def test_it_recommends_and_warns(page: AppTest) -> None:
    assert page.header[0].value.startswith("3 clusters, ")
    said = words(page)
    assert "Your 149 rows fall into 3 groups of 49 to 50 rows; " in said
    assert "Both experiments say K = 3." in said
    assert "149 rows, 3 columns" in said
    assert "1 of 150 rows was left out" in said
    for name in ("full-tied", "diag-tied", "spher-tied", "full-untied", "diag-untied", "spher-untied"):
        assert f"**{name}**" in said
    assert [card.value for card in page.subheader] == ["K = 3"] * 6
    (drawn,) = plots(page)
    assert len({trace["xaxis"] for trace in drawn["data"]}) == 6
    assert "All 150 rows are drawn." in said


def test_every_section_draws_its_plots(page: AppTest) -> None:
    (clusters,) = plots(page)
    assert sum("ellipse" in trace["name"] for trace in clusters["data"]) == 6 * 3 * 2
    (where,) = plots(section(page, "Map"))
    assert where["layout"]["xaxis"]["constrain"] == "domain"
    differences, distributions = plots(section(page, "What differs"))
    assert [len(differences["data"][0][axis]) for axis in ("x", "y")] == [3, 3]
    assert {trace["type"] for trace in distributions["data"]} == {"box"}
    assert len(plots(section(page, "Scores"))) == 3
    (agreement,) = plots(section(page, "Stability"))
    assert len(agreement["data"][0]["x"]) == 2
    assert "adjusted Rand index of 1.00" in words(page)
    (heat,) = plots(section(page, "Columns"))
    assert len(heat["layout"]["xaxis"]["ticktext"]) == 5


def test_axes_are_any_two_columns_of_the_table(page: AppTest) -> None:
    assert set(page.selectbox[0].options) == {"longitude", "latitude", "a", "b", HOSTILE}
    assert {page.selectbox[0].value, page.selectbox[1].value} == {"a", "b"}
    page.selectbox[0].set_value("longitude")
    (drawn,) = plots(ran(page))
    assert not any("ellipse" in trace["name"] for trace in drawn["data"])


def test_a_smaller_bound_on_members_is_answered_at_once(page: AppTest) -> None:
    page.number_input[0].set_value(60)
    ran(page)
    assert page.header[0].value.startswith("1 cluster")
    page.number_input[0].set_value(149)
    ran(page)
    assert "K = 1" in [card.value for card in page.subheader]


def test_no_fit_with_such_clusters_is_said_kindly(fit: Callable[..., job_pb2.Job]) -> None:
    few = fit(columns=["a", "b"], max_k=2, n_experiments=1, covariances=["COVARIANCE_FULL_TIED"])
    page = opened(REPORT, id=few.name)
    page.number_input[0].set_value(151)
    ran(page)
    said = words(page)
    assert page.header[0].value == "No fit has clusters of at least 151 members"
    assert "2 have a cluster of fewer than 151 rows" in said
    assert said.count("Not part of this job.") == 5
    assert "No score to draw" in said
    assert len(plots(page)) == 1
    assert not page.get("download_button")


def test_the_best_k_at_the_edge_leads_to_a_run_with_more(
    fit: Callable[..., job_pb2.Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(REPORT, id=fit(max_k=3, n_experiments=1).name)
    assert "at the edge of the range" in words(page)
    asked: list[job_pb2.JobSpec] = []
    monkeypatch.setattr(links, "run_again", asked.append)
    page.button(key="run-with-more").click()
    ran(page)
    assert [spec.max_k for spec in asked] == [8]


def test_one_column_is_drawn_as_a_histogram(fit: Callable[..., job_pb2.Job]) -> None:
    page = opened(REPORT, id=fit(columns=["a"], n_experiments=1).name)
    (drawn,) = plots(page)
    assert {trace["type"] for trace in drawn["data"]} == {"bar"}
    page.toggle[0].set_value(False)
    (drawn,) = plots(ran(page))
    assert "bar" not in {trace["type"] for trace in drawn["data"]}


def test_what_is_taken_home(client: Client, job: job_pb2.Job, page: AppTest) -> None:
    labels = {button.proto.label for button in page.get("download_button")}
    assert labels == {"Labels (CSV)", "Report (HTML)", "Model (JSON)", "Model (ONNX)"}
    task = client.get_report(job.name).best.task
    rows = fetching.label_file(client, task).getvalue().decode().splitlines()
    assert len(rows) == 151
    assert rows[8].endswith(",")
    model = json.loads(fetching.model_file(client, task))
    assert len(json.dumps(model)) > 100
    assert onnxruntime.InferenceSession(fetching.onnx_file(client, task)).get_inputs()
    assert "3 clusters" in fetching.html_file(client, job.name, 30).decode()


def test_a_task_alone(client: Client, job: job_pb2.Job) -> None:
    name = f"{job.name}/tasks/1-3-diag-tied"
    page = opened(TASK, id=job.name, task=name)
    assert page.header[0].value == "3 clusters, diag-tied"
    assert f"**{client.get_task(name).result.bic:,.1f}**".replace("-", "−") in words(page)
    (drawn,) = plots(page)
    assert {"Cluster 0", "Cluster 1", "Cluster 2"} <= {trace["name"] for trace in drawn["data"]}
    (pairs,) = plots(section(page, "Every pair", "task-section"))
    assert pairs["data"][0]["type"] == "splom"
    (where,) = plots(section(page, "Map", "task-section"))
    assert where["layout"]["yaxis"]["scaleanchor"] == "x"
    (bars,) = plots(section(page, "Sizes", "task-section"))
    assert sorted(bars["data"][0]["y"]) == sorted(client.get_task(name).result.counts)
    columns = json.loads(page.dataframe[0].proto.columns).values()
    titles = [column["label"] for column in columns if "label" in column]
    assert titles == ["Cluster", "Rows", "Share", "a", "b", HOSTILE]
    section(page, "What differs", "task-section")
    page.session_state["profile-kind"] = "Parallel coordinates"
    _, profile = plots(ran(page))
    assert profile["data"][0]["error_y"]["type"] == "data"
