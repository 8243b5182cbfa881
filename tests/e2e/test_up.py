"""`up` and `ui` as processes: the dashboard is there while they are, and never after."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import urllib.request
from urllib.parse import urlsplit

import pytest

from tests.certificates import Authority
from tests.e2e.conftest import Program, await_that

TOKEN = "kDq3v0Wm9sX7cLr2TyHb5NfZ8aJgPe4UoQi6"
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
    assert process.wait(60) == (0 if how is signal.SIGTERM else -how)
    await_that(lambda: not answers(url), "the dashboard to end with its service")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_dashboard_runs_alone_for_a_service_elsewhere(program: Program, how: signal.Signals) -> None:
    process = program.start("ui", "--target", "127.0.0.1:9")
    url = dashboard_url(process)
    assert answers(url)
    process.send_signal(how)
    assert process.wait(60) == 0
    await_that(lambda: not answers(url), "the dashboard to end")


def test_a_taken_port_is_a_sentence_and_leaves_nothing_running(program: Program) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = program("up", "--address", "127.0.0.1:0", "--ui-port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "the port is taken or not allowed. Name another one with --ui-port." in done.stderr


@pytest.fixture
def guarded(program: Program) -> Program:
    """The service with TLS and tokens, as its settings say; nobody is let in yet."""
    authority = Authority(program.folder / "authority")
    pair = authority.issue("gateway")
    program.variables |= {
        "KMEANS_TLS_CERTIFICATE": str(pair.certificate),
        "KMEANS_TLS_KEY": str(pair.key),
        "KMEANS_TOKENS": f"ann:{TOKEN}",
    }
    return program


def test_up_does_not_start_a_dashboard_that_its_service_would_not_let_in(guarded: Program) -> None:
    up = ("up", "--address", "127.0.0.1:0")
    done = guarded(*up)
    assert done.returncode == 2
    assert "Set KMEANS_TLS_CA to the file of the authority" in done.stderr
    guarded.variables["KMEANS_TLS_CA"] = str(guarded.folder / "authority" / "authority.pem")
    done = guarded(*up)
    assert done.returncode == 2
    assert "Set KMEANS_TOKEN to one of the service's tokens" in done.stderr
    guarded.variables["KMEANS_TOKEN"] = "wrong" + TOKEN[5:]
    done = guarded(*up)
    assert done.returncode == 2
    assert "does not let its dashboard in" in done.stderr
    assert "--no-ui" in done.stderr


def test_up_reaches_its_own_service_through_tls_and_with_a_token(guarded: Program) -> None:
    guarded.variables["KMEANS_TLS_CA"] = str(guarded.folder / "authority" / "authority.pem")
    guarded.variables["KMEANS_TOKEN"] = TOKEN
    assert answers(dashboard_url(guarded.start("up", "--address", "127.0.0.1:0")))


def test_up_reaches_its_own_service_in_plain_text_on_every_address(program: Program) -> None:
    # A token that the service does not ask for, and an authority that is meant for another one.
    program.variables |= {"KMEANS_TOKEN": TOKEN, "KMEANS_TLS_CA": "system", "KMEANS_ALLOW_ANYONE": "true"}
    assert answers(dashboard_url(program.start("up", "--address", "0.0.0.0:0")))
