"""The dashboard's pages, drawn without a browser, against a real embedded service."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import streamlit as st
from kmeans.v1 import job_pb2
from streamlit.testing.v1 import AppTest

from kmeans_client import Client
from services.core.settings import Settings
from services.embedded import service as embedded
from tests.gated_fits import GatedFits

PATIENCE_SECONDS = 60.0
Open = Callable[..., AppTest]

# The page that a test begins with stands in for the first one; links lead to the others as in a browser.
SCRIPT = """
import streamlit as st
from ui import app, links
pages = app.pages()
links.remember_pages(pages)
current = st.navigation(pages, position="hidden")
start = {path!r}
if current.url_path == "" and not set(st.session_state.to_dict()) & {{"left-start", links.PREFILL}}:
    {{page.url_path: page for page in pages}}[start]._page()
else:
    st.session_state["left-start"] = True
    current.run()
"""


@pytest.fixture(scope="module")
def fits() -> GatedFits:
    return GatedFits()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, fits: GatedFits) -> Iterator[str]:
    settings = Settings(
        home=tmp_path_factory.mktemp("home"), worker_slots=2, sweep_seconds=0.2, bundle_seconds=1e-6
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "ckernel", SimpleNamespace(fit=fits))
        with embedded.EmbeddedService(settings) as service:
            listening = service.start("127.0.0.1:0")
            patch.setenv("KMEANS_GATEWAY", listening)
            yield listening
            fits.open()
    st.cache_resource.clear()


@pytest.fixture(scope="module", name="client")
def connect(address: str) -> Iterator[Client]:
    with Client(address) as client:
        yield client


@pytest.fixture(autouse=True)
def _open_gate(fits: GatedFits) -> Iterator[None]:
    yield
    fits.failing.clear()
    fits.open()


@pytest.fixture(name="open_page")
def make_open_page(address: str) -> Open:
    def open_page(path: str = "", **params: str) -> AppTest:
        app = AppTest.from_string(SCRIPT.format(path=path), default_timeout=PATIENCE_SECONDS)
        for name, value in params.items():
            app.query_params[name] = value
        return run(app)

    return open_page


def as_read(text: str) -> str:
    """What a reader sees of a text in which `ui.words.plain` took care of the names."""
    return html.unescape(text).replace("\N{WORD JOINER}", "")


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception, [each.value for each in app.exception]
    return app


@pytest.fixture
def dataset(client: Client) -> str:
    rows = [
        f"{10 + i % 2},{50 + i / 999},{i % 7},{i * i % 11},{'' if i == 3 else i % 5},x,1" for i in range(90)
    ]
    table = "\n".join(["Longitude,Latitude,a,b,c,farm,flat", *rows]).encode()
    import io

    return client.upload_dataset(io.BytesIO(table), display_name="field.csv").name


@pytest.fixture
def submit(client: Client, dataset: str) -> Callable[..., job_pb2.Job]:
    def submit(title: str = "", **spec: object) -> job_pb2.Job:
        given = {"columns": ["a", "b"], "max_k": 2, "n_experiments": 2, "n_init": 2, **spec}
        return client.create_job(job_pb2.JobSpec(dataset=dataset, **given), display_name=title).job  # type: ignore[arg-type]

    return submit


@pytest.fixture
def finish(client: Client) -> Callable[[job_pb2.Job], job_pb2.Job]:
    def finish(job: job_pb2.Job) -> job_pb2.Job:
        *_, last = client.watch_job(job.name, job_only=True)
        return last.job

    return finish
