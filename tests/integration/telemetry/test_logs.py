"""Log lines say for which job, task, attempt and trace they were written, whoever writes them."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from services.cli.logs import configure_logs
from services.worker import bundles
from tests.integration.telemetry.conftest import Observed


@pytest.fixture(autouse=True)
def talkative_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fit writes a line, in a part that knows of no job."""
    fit_task = bundles.fit_task

    def told(*arguments: Any, **options: Any) -> Any:
        structlog.get_logger("a part that knows of no job").info("fitting")
        return fit_task(*arguments, **options)

    monkeypatch.setattr(bundles, "fit_task", told)


def test_what_is_written_during_a_fit_says_for_what(embedded: Observed) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        job_id = embedded.run_job(max_k=1).name.removeprefix("jobs/")
    fitting = [line for line in lines if line["event"] == "fitting"]
    accepted = next(line for line in lines if line["event"] == "job accepted")
    assert len({line["task_id"] for line in fitting}) == 12
    for line in fitting:
        assert line["job_id"] == job_id
        assert line["task_id"].startswith(f"{job_id}/")
        assert line["attempt"]
        assert line["trace_id"] == accepted["trace_id"]
    # What belongs to no job says so by saying nothing.
    assert all("task_id" not in line for line in lines if line["event"] == "call answered")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process writes to stderr that was configured as every service is."""
    stream = io.StringIO()
    before = structlog.get_config()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        configure_logs("info", "json")
    yield stream
    structlog.configure(**before)


def test_each_line_is_an_object_that_a_collector_can_search(written: io.StringIO, embedded: Observed) -> None:
    job_id = embedded.run_job(max_k=1).name.removeprefix("jobs/")
    # A line is written in one piece, the last one maybe only just now.
    lines = [json.loads(line) for line in written.getvalue().splitlines(keepends=True) if line.endswith("\n")]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    accepted = next(line for line in lines if line["event"] == "job accepted")
    fitting = [line for line in lines if line["event"] == "fitting"]
    assert len(fitting) == 12
    for line in fitting:
        assert line["job_id"] == job_id
        assert line["task_id"].startswith(f"{job_id}/")
        assert len(line["attempt"]) >= 16
        assert line["trace_id"] == accepted["trace_id"]
        assert len(line["trace_id"]) == 32


def test_what_a_library_writes_is_an_object_as_well(written: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(job_id="j1"):
        logging.getLogger("some.library").warning("retrying in %.1f s", 0.5)
        try:
            raise OSError("no route")
        except OSError:
            logging.getLogger("some.library").exception("given up")
    logging.getLogger("some.library").info("connected with %s", "a secret")
    logging.getLogger("pika.adapters.utils.connection_workflow").error("what the backend tells in a sentence")
    retrying, given_up = map(json.loads, written.getvalue().splitlines())
    assert (retrying["event"], retrying["level"]) == ("retrying in 0.5 s", "warning")
    assert (retrying["library"], retrying["job_id"]) == ("some.library", "j1")
    assert (given_up["event"], given_up["level"]) == ("given up", "error")
    assert "OSError: no route" in given_up["exception"]
