"""The dashboard in a real browser, on an embedded service whose fits wait where a test says so."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from kmeans.v1.job_pb2 import Job, JobSpec
from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect

from kmeans_client import Client
from services.core.settings import Settings
from services.embedded import service as embedded
from tests.gated_fits import GatedFits
from tests.servers.browser import Watched, open_page
from tests.servers.ports import choose_ports
from ui.server import Dashboard

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def fits() -> GatedFits:
    return GatedFits()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, fits: GatedFits) -> Iterator[str]:
    settings = Settings(
        home=tmp_path_factory.mktemp("home"), worker_slots=2, sweep_seconds=0.2, bundle_seconds=1e-6
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "ckernel", SimpleNamespace(fit=fits))
        with embedded.EmbeddedService(settings) as service:
            yield service.start("127.0.0.1:0")
            fits.open()


@pytest.fixture(scope="module")
def url(gateway: str) -> Iterator[str]:
    # Not the first free one: what else starts meanwhile may be given the same.
    with Dashboard(gateway, port=choose_ports(["dashboard"])["dashboard"]) as dashboard:
        yield dashboard.start()


@pytest.fixture
def watched(browser: Browser, fits: GatedFits) -> Iterator[Watched]:
    with open_page(browser) as opened:
        yield opened
        assert opened.complaints == []
    fits.failing.clear()
    fits.open()


@pytest.fixture
def field(tmp_path: Path) -> Path:
    chance = random.Random(3)
    lines = ["longitude,latitude,clay,sand,farm"]
    for row in range(360):
        clay, sand = ((10, 70), (35, 40), (60, 15))[row % 3]
        lines.append(
            f"{8 + row % 19 / 1000},{50 + row // 19 / 1000},{chance.gauss(clay, 4):.3f},"
            f"{chance.gauss(sand, 5):.3f},{'North' if row % 2 else 'South'}"
        )
    path = tmp_path / "field.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(name="client")
def connect(gateway: str) -> Iterator[Client]:
    with Client(gateway) as client:
        yield client


@pytest.fixture
def finish(client: Client) -> Callable[..., Job]:
    """Upload a file, fit it and wait for the end."""

    def finish(path: Path, **spec: object) -> Job:
        given = {"max_k": 3, "n_experiments": 2, "n_init": 3, **spec}
        dataset = client.upload_dataset(path).name
        job = client.create_job(JobSpec(dataset=dataset, **given)).job  # type: ignore[arg-type]
        *_, last = client.watch_job(job.name, job_only=True)
        return last.job

    return finish


def view(page: Page, name: str) -> Locator:
    """The control that shows one view of a job, or one section of a view."""
    return page.get_by_test_id("stButtonGroup").get_by_text(name, exact=True)


def number(page: Page, label: str, value: int) -> None:
    entry = page.get_by_role("spinbutton", name=label)
    entry.fill(str(value))
    entry.press("Enter")


def choose(page: Page, label: str, option: str) -> None:
    """Choose from a list; a page that is still laying itself out closes one that was just opened."""
    wanted = page.get_by_role("option", name=option, exact=True)
    for _ in range(10):
        page.get_by_role("combobox", name=label).click()
        try:
            wanted.click(timeout=2_000)
        except TimeoutError:
            continue
        return
    expect(wanted).to_be_visible()


def await_plots(page: Page, count: int) -> list[int]:
    """Wait until so many plots are on the page and each shows its traces; return how many each has."""
    drawn = page.wait_for_function(
        """count => {
            const plots = [...document.querySelectorAll('.js-plotly-plot')];
            const shows = plot => plot.querySelector('.main-svg') && plot.data && plot.data.length
                && plot.querySelector('.trace, .hm, .point, .bars path, .plot path, canvas');
            const busy = document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]');
            return !busy && plots.length === count && plots.every(shows)
                && plots.map(each => each.data.length);
        }""",
        arg=count,
    )
    return list(drawn.json_value())


def await_still(page: Page) -> None:
    """Wait until everything is drawn and the page keeps its height, so that a picture shows all of it."""
    page.wait_for_function(
        """() => {
            const main = document.querySelector('[data-testid=stMain]');
            const busy = document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]');
            const same = !busy && window.heightSeen === main.scrollHeight;
            window.heightSeen = main.scrollHeight;
            window.timesSeen = same ? window.timesSeen + 1 : 0;
            return window.timesSeen >= 5;
        }""",
        polling=100,
    )


def badge(page: Page, word: str) -> Locator:
    return page.locator(".stMarkdownBadge").filter(has_text=word)


def download(page: Page, button: str) -> Path:
    with page.expect_download() as downloading:
        page.get_by_role("button", name=button).click()
    return Path(downloading.value.path())
