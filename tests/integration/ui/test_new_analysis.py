from __future__ import annotations

import io
from typing import Any

import grpc
import pytest
from kmeans.v1 import job_pb2

from kmeans_client import Client, Unreachable
from tests.integration.ui.conftest import as_read

GOOD = b"a,b\n" + b"".join(b"%d,%d\n" % (i % 7, i * i % 11) for i in range(60))


def words(app: Any) -> str:
    shown = [*app.markdown, *app.caption, *app.title, *app.subheader, *app.error, *app.info]
    return as_read("\n".join(str(each.value) for each in shown))


def test_a_sample_is_one_click_from_its_columns_and_its_tasks(open_page: Any, client: Client) -> None:
    app = open_page()
    app.button("sample-soil_field").click().run()
    assert "soil_field.csv" in words(app)
    assert app.multiselect("form-columns").value == ["EC1", "EC2", "Elevation"]
    assert "Longitude and Latitude are left out" in words(app)
    assert "600 tasks: K from 1 to 10, 10 experiments, 6 covariance models" in words(app)
    known = len(list(client.list_datasets()))
    again = open_page()
    again.button("sample-soil_field").click().run()
    assert len(list(client.list_datasets())) == known


def test_an_uploaded_file_becomes_a_job_with_the_chosen_settings(open_page: Any, client: Client) -> None:
    app = open_page()
    app.file_uploader[0].upload("mine.csv", GOOD, "text/csv").run()
    assert not app.exception
    assert "60 rows · 2 columns" in words(app)
    app.number_input("form-max_k").set_value(2).run()
    app.number_input("form-n_experiments").set_value(1).run()
    app.pills("form-covariances").set_value(["full-tied"]).run()
    app.text_input("form-title").input("My first").run()
    assert "2 tasks: K from 1 to 2, 1 experiment, 1 covariance model" in words(app)
    app.button("start").click().run()
    assert not app.exception
    job = next(client.list_jobs())
    assert app.query_params["id"] == job.name.removeprefix("jobs/")
    assert (job.display_name, job.spec.max_k, job.spec.n_experiments) == ("My first", 2, 1)
    assert list(job.spec.covariances) == [job_pb2.COVARIANCE_FULL_TIED]
    assert list(job.spec.columns) == ["a", "b"]


def test_a_bad_file_is_refused_in_the_words_of_the_service(open_page: Any, client: Client) -> None:
    known = len(list(client.list_datasets()))
    app = open_page()
    app.file_uploader[0].upload("broken.csv", b"a,b\n1,2\n3,4,5\n", "text/csv").run()
    assert not app.exception
    (error,) = app.error
    assert "broken.csv was not accepted" in error.value
    assert "Row 2 of" in error.value
    assert len(list(client.list_datasets())) == known


def test_what_is_wrong_is_said_beside_its_field_and_nothing_starts(open_page: Any, dataset: str) -> None:
    app = open_page(dataset=dataset.removeprefix("datasets/"))
    assert app.multiselect("form-columns").value == ["a", "b", "c"]
    assert "1 row will be left out" in words(app)
    assert "2 columns cannot be clustered on (farm, flat)" in words(app)
    app.multiselect("form-columns").set_value([]).run()
    assert [error.value for error in app.error] == ["No column is chosen; choose at least one."]
    assert app.button("start").disabled
    app.multiselect("form-columns").set_value(["a", "Latitude"]).run()
    assert not app.error
    assert not app.button("start").disabled
    app.pills("form-covariances").set_value([]).run()
    assert "No covariance model is chosen" in app.error[0].value


def test_the_services_complaint_about_k_stands_beside_k(open_page: Any, client: Client) -> None:
    name = client.upload_dataset(io.BytesIO(b"a,b\n1,2\n3,5\n4,4\n"), display_name="tiny.csv").name
    app = open_page(dataset=name.removeprefix("datasets/"))
    # In the words of the form, not in those of the API.
    assert "fewer than “Most clusters (K)”" in as_read(app.error[0].value)
    assert app.button("start").disabled
    app.number_input("form-max_k").set_value(2).run()
    assert not app.error
    assert not app.button("start").disabled


def test_an_earlier_table_can_be_used_again(open_page: Any, dataset: str) -> None:
    app = open_page()
    app.selectbox[0].set_value(dataset)
    app.button("use-earlier").click().run()
    assert "90 rows · 7 columns" in words(app)


def test_a_dataset_that_is_gone_is_a_sentence(open_page: Any) -> None:
    app = open_page(dataset="0123456789abcdef")
    assert "0123456789abcdef" in app.error[0].value


def test_a_table_without_numbers_says_that_there_is_nothing_to_choose(open_page: Any, client: Client) -> None:
    name = client.upload_dataset(io.BytesIO(b"a,b\nx,y\nz,w\n"), display_name="text.csv").name
    app = open_page(dataset=name.removeprefix("datasets/"))
    (warning,) = app.warning
    assert "no column of numbers that vary" in warning.value
    assert not app.error
    assert app.button("start").disabled


def test_starting_twice_makes_one_job(
    open_page: Any, dataset: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(dataset=dataset.removeprefix("datasets/"))
    app.number_input("form-max_k").set_value(1).run()
    known = {job.name for job in client.list_jobs()}
    gone = Unreachable(grpc.StatusCode.UNAVAILABLE, "UNREACHABLE", "The answer was lost.")
    create = Client.create_job

    def lose_the_answer(self: Client, *arguments: Any, **options: Any) -> Any:
        answer = create(self, *arguments, **options)
        if not options.get("validate_only"):
            raise gone
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Client, "create_job", lose_the_answer)
        app.button("start").click().run()
    assert "No K-Means Service answers" in app.error[0].value
    app.button("start").click().run()
    assert len({job.name for job in client.list_jobs()} - known) == 1
    assert app.query_params["id"]
