"""Every page and section at its widths, light and dark: drawn, no wider than its window, and photographed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.dashboard.conftest import await_plots, await_still, view
from tests.servers.browser import Watched, open_page

pytestmark = pytest.mark.timeout(300)

# Plots of each section of a report, and of a task.
SECTIONS = {"Clusters": 1, "What differs": 2, "Map": 1, "Scores": 3, "Stability": 1, "Columns": 1}
TASK_SECTIONS = {"Two columns": 1, "Map": 1, "What differs": 2, "Sizes": 1}
# Each width and each theme once: a theme changes colours, and no widths.
LOOKS = [(1280, False), (768, True)]


@pytest.mark.parametrize(("width", "dark"), LOOKS, ids=["wide and light", "narrow and dark"])
def test_no_page_is_wider_than_its_window(
    browser: Browser, url: str, field: Path, finish: Callable[..., Any], width: int, dark: bool
) -> None:
    job = finish(field)
    look = f"{width}-{'dark' if dark else 'light'}"
    place = f"id={job.name.removeprefix('jobs/')}"
    dataset = job.spec.dataset.removeprefix("datasets/")
    with open_page(browser, width=width, dark=dark) as opened:
        page = opened.page

        def look_at(name: str) -> None:
            await_still(page)
            opened.screenshot(f"{name}-{look}")
            assert opened.overflow_px() <= 0, f"{name} is wider than {width} px"

        for name, path, shown in (
            ("start", "", "Upload a table"),
            ("new-analysis", f"?dataset={dataset}", "tasks: K from 1"),
            ("jobs", "jobs", "field.csv"),
            ("tasks", f"job?{place}&view=Tasks", "Download the tasks (CSV)"),
            ("progress", f"job?{place}&view=Progress", "What this job computes"),
        ):
            page.goto(f"{url}/{path}")
            expect(page.get_by_text(shown).first).to_be_visible()
            look_at(name)
        for kind, sections in (("report", SECTIONS), ("task", TASK_SECTIONS)):
            page.goto(f"{url}/job?{place}&view={kind.capitalize()}")
            for section, plots in sections.items():
                expect(view(page, section)).to_be_visible()
                view(page, section).click()
                expect(page.get_by_text(f"Drawing: {section}")).to_have_count(0)
                await_plots(page, plots)
                look_at(f"{kind}-{section.replace(' ', '-').lower()}")
        assert opened.complaints == []


def test_a_plot_is_downloaded_as_png_and_as_svg(
    watched: Watched, url: str, field: Path, finish: Callable[..., Any]
) -> None:
    page = watched.page
    page.goto(f"{url}/job?id={finish(field).name.removeprefix('jobs/')}")
    # A fit has its three clusters with an ellipse of two lines and a center each, and six fits are drawn.
    (traces,) = await_plots(page, 1)
    assert traces == 6 * 3 * 4

    def picture(kind: str) -> bytes:
        # The plot of before stays until the page was drawn anew, and for a moment beside the next.
        page.wait_for_function(
            """kind => {
                const plots = [...document.querySelectorAll('.js-plotly-plot')];
                return plots.length === 1 && plots[0]._context?.toImageButtonOptions.format === kind;
            }""",
            arg=kind,
        )
        await_plots(page, 1)
        page.locator(".js-plotly-plot").hover()
        with page.expect_download() as downloading:
            page.get_by_role("button", name=re.compile("Download plot")).click()
        assert downloading.value.suggested_filename == f"clusters.{kind}"
        return Path(downloading.value.path()).read_bytes()

    assert picture("png").startswith(b"\x89PNG")
    view(page, "SVG").click()
    svg = ElementTree.fromstring(picture("svg"))
    assert svg.tag.endswith("svg")
    assert "Cluster 0" in "".join(svg.itertext())
