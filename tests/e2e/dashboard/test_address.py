"""What the address says, in a real browser: ways out of a page, Back, choices that outlive a look around."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from kmeans_client import Client
from tests.e2e.dashboard.conftest import choose, number, view
from tests.servers.browser import Watched

pytestmark = pytest.mark.timeout(180)


def open_report(page: Page, url: str, job: Any) -> None:
    page.goto(f"{url}/job?id={job.name.removeprefix('jobs/')}")
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)


def test_every_way_out_works_when_the_smallest_cluster_was_changed(
    watched: Watched, url: str, field: Path, finish: Callable[..., Any], client: Client
) -> None:
    page = watched.page
    job = finish(field)
    for button, arrives in (
        ("Change and run again", "36 tasks: K from 1 to 3"),
        ("Run again with K up to 8", "96 tasks: K from 1 to 8"),
    ):
        open_report(page, url, job)
        number(page, "Smallest cluster", 10)
        page.wait_for_url(re.compile("min_members=10"))
        page.get_by_role("button", name=button).click()
        expect(page.get_by_text(arrives)).to_be_visible()
        assert "min_members" not in page.url
    open_report(page, url, job)
    number(page, "Smallest cluster", 10)
    page.wait_for_url(re.compile("min_members=10"))
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    assert job.name not in {each.name for each in client.list_jobs()}


def test_a_link_tells_the_smallest_cluster_and_a_task_comes_back_to_it(
    watched: Watched, url: str, field: Path, finish: Callable[..., Any]
) -> None:
    page = watched.page
    job = finish(field)
    page.goto(f"{url}/job?id={job.name.removeprefix('jobs/')}&min_members=150")
    smallest = page.get_by_role("spinbutton", name="Smallest cluster")
    expect(smallest).to_have_value("150")
    expect(page.get_by_role("heading", name=re.compile("^[12] cluster"))).to_be_visible()
    page.get_by_role("button", name="Look at it").first.click()
    expect(page.get_by_text("Best BIC first").or_(page.get_by_role("combobox", name="Task"))).to_be_visible()
    view(page, "Report").click()
    expect(smallest).to_have_value("150")


def test_back_and_forward_lead_through_the_views(
    watched: Watched, url: str, field: Path, finish: Callable[..., Any]
) -> None:
    page = watched.page
    open_report(page, url, finish(field))
    smallest = page.get_by_role("spinbutton", name="Smallest cluster")
    table = page.get_by_role("button", name="Download the tasks (CSV)")
    number(page, "Smallest cluster", 10)
    page.wait_for_url(re.compile("min_members=10"))
    view(page, "Tasks").click()
    expect(table).to_be_visible()
    view(page, "Progress").click()
    expect(page.get_by_text("What this job computes")).to_be_visible()
    page.go_back()
    expect(table).to_be_visible()
    page.go_back()
    expect(smallest).to_have_value("10")
    page.go_back()
    expect(smallest).to_have_value("30")
    page.go_forward()
    expect(smallest).to_have_value("10")


def test_choices_outlive_a_look_at_another_section_and_view(
    watched: Watched, url: str, field: Path, finish: Callable[..., Any]
) -> None:
    page = watched.page
    open_report(page, url, finish(field))
    choose(page, "Horizontal", "longitude")
    title = page.locator(".js-plotly-plot").get_by_text("longitude", exact=True)
    expect(title).to_be_visible()
    view(page, "Scores").click()
    expect(page.get_by_text("number of clusters K").first).to_be_visible()
    view(page, "Tasks").click()
    choose(page, "Covariance", "full-tied")
    page.keyboard.press("Escape")
    expect(page.get_by_text("6 tasks. Click")).to_be_visible()
    view(page, "Report").click()
    expect(page.get_by_text("number of clusters K").first).to_be_visible()
    view(page, "Clusters").click()
    expect(title).to_be_visible()
    view(page, "Tasks").click()
    expect(page.get_by_text("6 tasks. Click")).to_be_visible()


def test_each_job_keeps_what_was_chosen_about_it(
    watched: Watched, url: str, field: Path, finish: Callable[..., Any]
) -> None:
    page, first, second = watched.page, finish(field), finish(field)
    open_report(page, url, first)
    choose(page, "Horizontal", "longitude")
    title = page.locator(".js-plotly-plot").get_by_text("longitude", exact=True)
    expect(title).to_be_visible()
    for job, chosen in ((second, 0), (first, 1)):
        page.get_by_role("link", name="All jobs").click()
        row = page.locator(f".st-key-row-{job.name.removeprefix('jobs/')}")
        row.get_by_role("link").click()
        page.wait_for_url(re.compile(f"id={job.name.removeprefix('jobs/')}"))
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        expect(title).to_have_count(chosen)
