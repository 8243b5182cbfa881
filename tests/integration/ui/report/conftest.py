"""The report's pages without a browser, against a real embedded service and a job that it fitted."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import streamlit as st
from kmeans.v1 import job_pb2
from streamlit.testing.v1 import AppTest

from kmeans_client import Client
from services.core.settings import Settings
from services.embedded.service import EmbeddedService

PATIENCE_SECONDS = 60
# A name that would be markup or a directive if anybody let it.
HOSTILE = "<b>pH</b> *x* $y$"

REPORT = """
import streamlit as st
from ui import app, links
from ui.connection import connect
from ui.views import report
client = connect()
report.show(client, client.get_job(st.query_params["id"]))
"""
TASK = """
import streamlit as st
from ui.connection import connect
from ui.views import task
client = connect()
task.show(client, client.get_job(st.query_params["id"]), st.query_params["task"])
"""


def table() -> bytes:
    generator = np.random.default_rng(5)
    lines = [f"longitude,latitude,a,b,{HOSTILE},farm"]
    for row in range(150):
        a, b = generator.normal(loc=[(0, 0), (9, 0), (0, 9)][row % 3], scale=0.6)
        c = "" if row == 7 else generator.normal()
        lines.append(f"{10 + row / 100},{50 + row % 7 / 100},{a},{b},{c},farm {row}")
    return "\n".join(lines).encode()


@pytest.fixture(scope="module", name="client")
def start_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), worker_slots=1, sweep_seconds=0.2)
    with EmbeddedService(settings) as service, pytest.MonkeyPatch.context() as patch:
        address = service.start("127.0.0.1:0")
        patch.setenv("KMEANS_GATEWAY", address)
        with Client(address) as client:
            yield client
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture(scope="module", name="fit")
def make_fit(client: Client) -> Callable[..., job_pb2.Job]:
    dataset = client.upload_dataset(io.BytesIO(table()), display_name="field.csv").name

    def fit(**spec: object) -> job_pb2.Job:
        given = {"max_k": 4, "n_experiments": 2, "n_init": 3, **spec}
        job = client.create_job(job_pb2.JobSpec(dataset=dataset, **given)).job  # type: ignore[arg-type]
        *_, last = client.watch_job(job.name, job_only=True)
        return last.job

    return fit


@pytest.fixture(scope="module", name="job")
def fit_three(fit: Callable[..., job_pb2.Job]) -> job_pb2.Job:
    return fit()


def opened(script: str, **params: str) -> AppTest:
    app = AppTest.from_string(script, default_timeout=PATIENCE_SECONDS)
    for name, value in params.items():
        app.query_params[name] = value
    return ran(app)


def ran(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception, [each.value for each in app.exception]
    return app
