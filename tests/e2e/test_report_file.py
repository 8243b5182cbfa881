"""The HTML report in a real browser: everything is drawn, nothing is asked of anybody, no name is markup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from tests.servers.browser import open_page
from tests.unit.ui.report.conftest import COLUMNS, HOSTILE, cluster, make_material
from ui.report.html import render
from ui.report.sample import Sample

# Above what SVG draws, so that WebGL, which the file's own policy could forbid, is tried as well.
ROWS = 8_000


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = np.random.default_rng(1).normal(size=(ROWS, 3))
    labels = (np.arange(ROWS) >= ROWS * 6 // 10).astype(np.int64)
    values[labels == 1, 0] += 10
    sample = Sample(np.arange(ROWS), dict(zip(COLUMNS, values.T, strict=True)), ROWS)
    clusters = [cluster(0, 60, [0.0, 0.0, 0.0], np.eye(3)), cluster(1, 40, [10.0, 0.0, 0.0], np.eye(3))]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(make_material(sample, labels, clusters)), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (768, True)])
def test_it_opens_without_a_network(browser: Browser, file: Path, width: int, dark: bool) -> None:
    with open_page(browser, width=width, dark=dark) as watched:
        page = watched.page
        page.goto(file.as_uri())
        plots = page.locator(".plot")
        assert plots.count() == 11
        page.wait_for_function(
            "[...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg'))"
        )
        assert page.get_by_text("WebGL is not supported").count() == 0
        # In the page and in the plots, which read HTML themselves.
        assert page.locator(".plot").get_by_text(HOSTILE).count() >= 1
        assert page.locator("main b, main script, svg script").count() == 0
        paper = page.evaluate("getComputedStyle(document.querySelector('#plot-bic .main-svg')).background")
        assert ("rgb(14, 17, 23)" in paper) == dark
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert watched.complaints == []
