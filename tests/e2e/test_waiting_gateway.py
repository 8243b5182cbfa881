"""A gateway whose broker never comes: what it says meanwhile, to whom, and how it ends."""

from __future__ import annotations

import secrets
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kmeans_client import Client, KMeansError
from services.core.tokens import make_token
from tests.certificates import Authority
from tests.e2e.conftest import PATIENCE_SECONDS, PROGRAM
from tests.e2e.test_processes import NOT_SERVING, SERVING, Shared, health
from tests.servers.ports import HOST, choose_ports

NOBODY = "amqp://someone:hunter2@127.0.0.1:1/"


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Shared]:
    runner = Shared(tmp_path, queue_url=NOBODY)
    runner.variables = {"KMEANS_STARTUP_SECONDS": "600"}
    yield runner
    for process in runner.started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def start(waiting: Shared) -> tuple[subprocess.Popen[str], str, str]:
    """The process, its address and that of its health."""
    ports = choose_ports(["calls", "health"])
    address, told = f"{HOST}:{ports['calls']}", f"{HOST}:{ports['health']}"
    process = waiting.serve(
        "gateway", "--address", address, health_address=told, until="waiting for a server"
    )
    return process, address, told


def log_of(waiting: Shared) -> str:
    (log,) = waiting.folder.glob("gateway-*.log")
    return log.read_text()


def reason(client: Client) -> str:
    with pytest.raises(KMeansError) as refused:
        client.delete_job(f"jobs/{secrets.token_hex(16)}")
    assert "hunter2" not in refused.value.message
    assert "Error" not in refused.value.message, "a sentence for people, not what a driver says"
    return refused.value.reason


def test_it_is_alive_answers_and_ends_at_once_when_asked(waiting: Shared) -> None:
    # Whoever watches its health would otherwise be waited for, and longer than this test waits.
    waiting.variables["KMEANS_SHUTDOWN_GRACE_SECONDS"] = "600"
    process, address, told = start(waiting)
    assert (health(told, "liveness"), health(told, "readiness")) == (SERVING, NOT_SERVING)
    with Client(address) as client, grpc.insecure_channel(address) as channel:
        assert reason(client) == "QUEUE_UNAVAILABLE"
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == NOT_SERVING
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    assert "Traceback" not in log_of(waiting)


def test_tokens_and_tls_are_asked_for_meanwhile(waiting: Shared, tmp_path: Path) -> None:
    authority, token = Authority(tmp_path / "authority"), make_token()
    pair = authority.issue("gateway")
    waiting.variables |= {
        "KMEANS_TLS_CERTIFICATE": str(pair.certificate),
        "KMEANS_TLS_KEY": str(pair.key),
        "KMEANS_TOKENS": f"ann:{token}",
    }
    _, address, _ = start(waiting)
    with Client(address, ca=authority.ca) as client:
        assert reason(client) == "TOKEN_MISSING"
    with Client(address, ca=authority.ca, token=make_token()) as client:
        assert reason(client) == "TOKEN_INVALID"
    with Client(address, ca=authority.ca, token=token) as client:
        assert reason(client) == "QUEUE_UNAVAILABLE"
    with Client(address, token=token) as client:
        assert reason(client) == "UNREACHABLE"


def test_a_database_of_another_program_ends_it_however_late_it_is_found(waiting: Shared) -> None:
    process, address, _ = start(waiting)
    with Client(address) as client:
        assert reason(client) == "QUEUE_UNAVAILABLE"
        other = waiting.folder / "other.sqlite"
        with sqlite3.connect(other) as connection:
            connection.execute("CREATE TABLE theirs (a)")
        connection.close()
        other.replace(waiting.folder / "shared" / "jobs.sqlite")
        assert process.wait(PATIENCE_SECONDS) == 2
    assert "is a database of another program" in log_of(waiting)
    assert "Traceback" not in log_of(waiting)


@pytest.mark.parametrize(
    ("variables", "code", "sentence"),
    [
        ({"KMEANS_QUEUE_URL": "kafka://there"}, 2, "KMEANS_QUEUE_URL|URL of the task queue"),
        ({"KMEANS_TOKENS": "nonsense"}, 2, "KMEANS_TOKENS"),
        ({"KMEANS_TLS_KEY": "/none"}, 2, "KMEANS_TLS_CERTIFICATE"),
        ({"KMEANS_STARTUP_SECONDS": "0.5"}, 3, "Given up after 0.5 s"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_ends_it_with_a_sentence(
    waiting: Shared, variables: dict[str, str], code: int, sentence: str
) -> None:
    port = choose_ports(["calls"])["calls"]
    log = waiting.folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [str(PROGRAM), "gateway", "--address", f"{HOST}:{port}"],
            cwd=waiting.folder,
            env=waiting.environment | variables,
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
        )
    waiting.started.append(process)
    assert process.wait(PATIENCE_SECONDS) == code
    told = log.read_text().splitlines()[-1]
    assert told.startswith("kmeans-service: ")
    assert any(words in told for words in sentence.split("|"))
