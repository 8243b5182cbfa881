"""Names that would be links, pictures, icons or formulas if anybody let them, in a real browser."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.conftest import view
from tests.gated_fits import GatedFits
from tests.servers.browser import Watched

pytestmark = pytest.mark.timeout(180)

PICTURE = "![x](http://evil.example/p.png) [click](http://evil.example)"
NAMES = (
    PICTURE,
    "www.evil.example/a_b",
    "https://evil.example/x_y?z=1",
    "me@evil.example",
    "a&lt;b&gt;",
    "<img src=http://evil.example/q.png>",
    ":heart: :material/home: :red[red]",
    "$x^2$ `c` **b** ~~s~~",
    "1. item",
    "- > # h",
)
# Links of ours: other pages of the dashboard, and what Streamlit has on every page.
FOREIGN = (
    "[data-testid=stMain] a[href*='evil'], [data-testid=stMain] img[src*='evil'], [data-testid=stMain] .katex"
)


def is_harmless(page: Page, *shown: str) -> None:
    for text in shown:
        # As a reader sees it, but for what is not seen.
        page.wait_for_function(
            "text => document.querySelector('[data-testid=stMain]').innerText"
            ".replaceAll('\\u2060', '').includes(text)",
            arg=text,
        )
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    assert page.locator(FOREIGN).evaluate_all("found => found.map(each => each.outerHTML)") == []


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    chance = random.Random(1)
    path = tmp_path / "www.evil.example [x](http:__evil.example) &lt;b&gt;.csv"
    with path.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(NAMES)
        for row in range(120):
            rows.writerow(
                [
                    f"{chance.gauss(8 * (row % 3), 1):.3f}"
                    if place
                    else ""
                    if row == 5
                    else row % 7 + row % 3
                    for place in range(len(NAMES))
                ]
            )
    return path


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_the_address_stays_text(watched: Watched, url: str, name: str) -> None:
    page = watched.page
    for place in ("job?id=", "?dataset="):
        page.goto(f"{url}/{place}{quote(name)}")
        is_harmless(page, " ".join(name.split()))


def test_names_of_files_and_columns_stay_text(
    watched: Watched, url: str, hostile: Path, finish: Callable[..., Any], fits: GatedFits
) -> None:
    page = watched.page
    fits.failing = {(2, "diag-tied")}
    job = finish(hostile)
    place = f"{url}/job?id={job.name.removeprefix('jobs/')}"
    page.goto(f"{url}/jobs")
    is_harmless(page, hostile.name)
    page.goto(f"{url}/?dataset={job.spec.dataset.removeprefix('datasets/')}")
    is_harmless(page, hostile.name, *NAMES[:1])
    page.goto(f"{place}&min_members=1")
    is_harmless(page, hostile.name)
    view(page, "What differs").click()
    is_harmless(page, *NAMES[1:4])
    page.goto(f"{place}&view=Progress")
    is_harmless(page, *NAMES)
    page.goto(f"{place}&view=Tasks")
    is_harmless(page, hostile.name)


def test_a_file_that_is_refused_is_named_word_for_word(watched: Watched, url: str, tmp_path: Path) -> None:
    bad = tmp_path / "www.evil.example [x](http:__e.example).csv"
    bad.write_text("a,b\n1,2\n3,4,5\n")
    page = watched.page
    page.goto(url)
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(bad)
    is_harmless(page, f"{bad.name} was not accepted")
    # It is told until another table is chosen, and not after.
    page.get_by_role("button", name="Try it").nth(1).click()
    expect(page.get_by_text("tasks: K from 1")).to_be_visible()
    page.get_by_role("button", name="Other table").click()
    expect(page.get_by_role("heading", name="Upload a table")).to_be_visible()
    expect(page.get_by_text("was not accepted")).to_have_count(0)
