"""`up` and `ui` as processes: the dashboard is there while they are, and never after."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import urllib.request
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import Program, await_that

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def dashboard_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"Dashboard: (http://\S+)", line):
            return found[1]
    raise AssertionError("it ended without saying where its dashboard is")


def answers(url: str) -> bool:
    try:
        with DIRECT.open(f"{url}/_stcore/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_dashboard_of_up_ends_with_it_however_it_ends(program: Program, how: signal.Signals) -> None:
    process = program.start("up", "--address", "127.0.0.1:0")
    url = dashboard_url(process)
    assert urlsplit(url).hostname == "127.0.0.1"
    assert answers(url)
    process.send_signal(how)
    process.wait(60)
    await_that(lambda: not answers(url), "the dashboard to end with its service")


def test_the_dashboard_runs_alone_for_a_service_elsewhere(program: Program) -> None:
    process = program.start("ui", "--target", "127.0.0.1:9")
    url = dashboard_url(process)
    assert answers(url)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    await_that(lambda: not answers(url), "the dashboard to end")


def test_a_taken_port_is_a_sentence_and_leaves_nothing_running(program: Program) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = program("up", "--address", "127.0.0.1:0", "--ui-port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "the port is taken or not allowed. Name another one with --ui-port." in done.stderr
