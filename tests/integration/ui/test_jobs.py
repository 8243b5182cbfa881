from __future__ import annotations

from typing import Any

from tests.gated_fits import GatedFits
from tests.integration.ui.conftest import as_read


def links(app: Any) -> list[str]:
    return [as_read(each.proto.label) for each in app.get("page_link")]


def words(app: Any) -> str:
    return as_read("\n".join(str(each.value) for each in (*app.markdown, *app.caption)))


def test_an_empty_search_says_what_to_do(open_page: Any) -> None:
    app = open_page("jobs", query="no such thing")
    assert "No job matches" in words(app)


def test_jobs_are_found_by_name_and_by_id(open_page: Any, submit: Any, finish: Any) -> None:
    wheat, barley = finish(submit("Wheat field")), finish(submit("Barley *field*"))
    app = open_page("jobs")
    assert [label for label in links(app) if "field" in label] == [
        "**Barley *field***",
        "**Wheat field**",
    ]
    app.text_input("query").input("wheat").run()
    assert links(app) == ["**Wheat field**"]
    assert "24 tasks" in words(app)
    app.text_input("query").input(barley.name.removeprefix("jobs/")).run()
    assert links(app) == ["**Barley *field***"]
    assert wheat.name.removeprefix("jobs/") not in words(app)


def test_the_list_can_show_only_what_is_under_way(
    open_page: Any, submit: Any, finish: Any, fits: GatedFits
) -> None:
    finish(submit("Over"))
    fits.close()
    held = submit("Held")
    app = open_page("jobs")
    app.segmented_control("jobs-state").set_value("Under way").run()
    assert links(app) == ["**Held**"]
    fits.open()
    finish(held)


def test_a_cancelled_job_says_how_far_it_came_and_of_which_table(
    open_page: Any, submit: Any, client: Any, fits: GatedFits
) -> None:
    fits.close(after=3)
    job = submit("field.csv")
    for step in client.watch_job(job.name):
        if step.job.task_counts.done == 3:
            break
    client.cancel_job(job.name)
    fits.open()
    app = open_page("jobs", query=job.name.removeprefix("jobs/"))
    assert "Cancelled after 3 of 24 tasks" in words(app)
    # Its own name is that of the table: both are said.
    assert "field.csv · 90 rows" in words(app)
