"""The three pictures of the README, of the soil survey that ships with the service.

`make pictures` runs this and puts them into docs/images.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.dashboard.conftest import await_plots, await_still, badge
from tests.gated_fits import GatedFits
from tests.servers.browser import Watched

pytestmark = pytest.mark.timeout(300)


def test_the_sample_is_chosen_watched_and_believed(watched: Watched, url: str, fits: GatedFits) -> None:
    page = watched.page
    page.goto(url)
    page.get_by_role("button", name="Try it").first.click()
    expect(page.get_by_role("heading", name="soil_field.csv")).to_be_visible()
    expect(page.get_by_text("600 tasks: K from 1 to 10")).to_be_visible()
    await_still(page)
    watched.screenshot("dashboard-new-analysis")
    # Stopped in the middle, so that the picture is of a job under way on any machine.
    fits.close(after=330)
    page.get_by_role("button", name="Start the analysis").click()
    page.wait_for_url(re.compile(r"/job\?.*id=[0-9a-f]{16}"))
    expect(page.get_by_text("of 600 tasks")).to_contain_text("330 of 600 tasks")
    await_plots(page, 1)
    await_still(page)
    watched.screenshot("dashboard-running")
    fits.open()
    expect(badge(page, "Done")).to_be_visible()
    (traces,) = await_plots(page, 1)
    assert traces > 6
    await_still(page)
    watched.screenshot("dashboard-report")
