"""Log lines say for which job, task, attempt and trace they were written, whoever writes them."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from services.worker import bundles
from tests.integration.telemetry.conftest import Observed


def test_what_is_written_during_a_fit_says_for_what(
    embedded: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_task = bundles.fit_task

    def told(*arguments: Any, **options: Any) -> Any:
        structlog.get_logger("a part that knows of no job").info("fitting")
        return fit_task(*arguments, **options)

    monkeypatch.setattr(bundles, "fit_task", told)
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
