"""The dashboard in a real browser: from a file to a report, with everything that goes wrong on the way.

Every page is photographed into build/screenshots, which nobody commits.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import onnxruntime
import pytest
from playwright.sync_api import expect

from tests.e2e.dashboard.conftest import await_plots, badge, download, number, view
from tests.gated_fits import GatedFits
from tests.servers.browser import Watched

pytestmark = pytest.mark.timeout(300)

FIRST_ROW, SECOND_ROW = {"x": 16, "y": 52}, {"x": 16, "y": 87}


def test_from_a_file_to_a_report_and_back(watched: Watched, url: str, field: Path, fits: GatedFits) -> None:
    page = watched.page

    # Upload: the table is read back, coordinates are left out, and the work is known before it begins.
    page.goto(url)
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(field)
    expect(page.get_by_role("heading", name="field.csv")).to_be_visible()
    expect(page.get_by_text("360 rows")).to_be_visible()
    expect(page.get_by_text("longitude and latitude are left out")).to_be_visible()
    expect(page.locator("canvas").first).to_be_visible()
    number(page, "Most clusters (K)", 4)
    number(page, "Experiments", 2)
    expect(page.get_by_text("48 tasks: K from 1 to 4, 2 experiments")).to_be_visible()
    watched.screenshot("new-analysis")

    # Watch: the job stands still after twelve fits.
    fits.failing = {(2, "diag-tied"), (3, "diag-tied")}
    fits.close(after=12)
    page.get_by_role("button", name="Start the analysis").click()
    page.wait_for_url(re.compile(r"/job\?.*id=[0-9a-f]{16}"))
    expect(page.get_by_text("of 48 tasks")).to_contain_text("12 of 48 tasks")
    curves = page.locator(".js-plotly-plot .scatterlayer .trace")
    expect(curves.first).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("pending"))).to_be_visible()
    watched.screenshot("running")
    view(page, "Tasks").click()
    expect(page.get_by_text("48 tasks. Click")).to_be_visible()
    watched.screenshot("running-tasks")
    view(page, "Progress").click()
    expect(curves.first).to_be_visible()
    drawn = page.locator(".js-plotly-plot .scatterlayer .points path").count()
    fits.close(after=6)
    expect(page.get_by_text("18 of 48 tasks")).to_be_visible()
    page.wait_for_function(
        f"document.querySelectorAll('.js-plotly-plot .scatterlayer .points path').length > {drawn}"
    )

    # A report before the end says of what it is, and is drawn anew when asked.
    view(page, "Report").click()
    expect(page.get_by_text("Preliminary: of the 18 of 48 tasks")).to_be_visible()
    await_plots(page, 1)
    watched.screenshot("running-report")
    fits.close(after=2)
    expect(page.get_by_text("and 2 more have ended since")).to_be_visible()
    page.get_by_role("button", name="Draw it anew").click()
    expect(page.get_by_text("Preliminary: of the 20 of 48 tasks")).to_be_visible()
    view(page, "Progress").click()
    expect(page.get_by_text("Preliminary")).to_have_count(0)
    fits.open()

    # Report: shown by itself when the job ends; three clusters are there to be found.
    expect(badge(page, "Failed")).to_be_visible()
    await_plots(page, 1)
    watched.screenshot("report")

    # Download: the table of tasks, with the reasons.
    view(page, "Tasks").click()
    with download(page, "Download the tasks (CSV)").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 48
    failed = [row for row in rows if row["state"] == "error"]
    assert {(row["k"], row["covariance"]) for row in failed} == {("2", "diag-tied"), ("3", "diag-tied")}
    assert "cannot be fitted" in failed[0]["reason"]

    # Run some failed tasks again, ticked in the table, then all that are left.
    expect(page.get_by_text("4 tasks failed")).to_be_visible()
    watched.screenshot("failed-tasks")
    fits.failing.clear()
    page.get_by_role("combobox", name="State").click()
    page.get_by_role("option", name="error").click()
    page.keyboard.press("Escape")
    expect(page.get_by_text("4 tasks. Click")).to_be_visible()
    for position, ticked in ((FIRST_ROW, "Run 1 task again"), (SECOND_ROW, "Run 2 tasks again")):
        page.get_by_test_id("stDataFrame").locator(".dvn-scroller").click(position=position)
        expect(page.get_by_role("button", name=ticked)).to_be_enabled()
    page.get_by_role("button", name="Run 2 tasks again").click()
    page.get_by_role("button", name="Run 2 failed tasks again").click()
    expect(badge(page, "Done")).to_be_visible()

    # Take away: labels, report and model of the recommended fit.
    view(page, "Report").click()
    expect(page.get_by_role("heading", name="3 clusters")).to_be_visible()
    with download(page, "Labels (CSV)").open(newline="") as opened:
        labelled = list(csv.DictReader(opened))
    assert len(labelled) == 360
    assert len({row["label"] for row in labelled}) == 3
    assert [row["farm"] for row in labelled[:2]] == ["South", "North"]
    report = download(page, "Report (HTML)").read_text(encoding="utf-8")
    assert report.startswith("<!DOCTYPE html>")
    assert "3 clusters" in report
    assert json.loads(download(page, "Model (JSON)").read_text())["k"] == 3
    assert onnxruntime.InferenceSession(download(page, "Model (ONNX)").read_bytes()).get_inputs()

    # Cancel: the same with more clusters, which is asked about and can go on later.
    fits.close(after=5)
    page.get_by_role("button", name="Change and run again").click()
    expect(page.get_by_text("48 tasks: K from 1 to 4, 2 experiments")).to_be_visible()
    number(page, "Most clusters (K)", 6)
    expect(page.get_by_text("72 tasks: K from 1 to 6")).to_be_visible()
    page.get_by_role("button", name="Start the analysis").click()
    expect(page.get_by_text("of 72 tasks")).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    watched.screenshot("cancel-question")
    page.get_by_role("button", name="Cancel the job").click()
    expect(badge(page, "Cancelled")).to_be_visible()
    fits.open()
    identifier = re.search(r"id=([0-9a-f]{16})", page.url)[1]  # type: ignore[index]

    # Jobs: found by id, and the address alone leads there.
    page.get_by_role("link", name="All jobs").click()
    expect(page.get_by_role("link", name="field.csv")).to_have_count(2)
    watched.screenshot("jobs")
    search = page.get_by_placeholder("Search by name or id")
    search.fill(identifier)
    search.press("Enter")
    expect(page.get_by_role("link", name="field.csv")).to_have_count(1)
    page.goto(f"{url}/job?id={identifier}&view=Progress")
    expect(badge(page, "Cancelled")).to_be_visible()
    expect(page.get_by_text("What this job computes")).to_be_visible()

    # Delete: asked about, and gone from the list.
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("all it found are removed for good")).to_be_visible()
    watched.screenshot("delete-question")
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("link", name="field.csv")).to_have_count(1)
    page.goto(f"{url}/job?id={identifier}")
    expect(page.get_by_role("alert")).to_contain_text(identifier)


def test_a_bad_file_is_refused_with_its_row(watched: Watched, url: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1,2\n3,4,5\n")
    watched.page.goto(url)
    watched.page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(bad)
    expect(watched.page.get_by_text("bad.csv was not accepted")).to_contain_text("Row 2 of 'bad.csv'")
    watched.screenshot("refused")
