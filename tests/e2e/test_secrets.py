"""Known passwords, tokens and keys go in; none comes out in a log, an error or the list of processes."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kmeans_client import Client, KMeansError
from services.core.settings import read_settings
from services.core.tokens import make_token
from tests.certificates import Authority
from tests.e2e.conftest import PATIENCE_SECONDS, PROGRAM, Program, await_that

PASSWORD = f"hunter2-{uuid.uuid4().hex}"
TOKEN = make_token()
SECRETS = (PASSWORD, TOKEN)
# Nothing listens there.
NOWHERE = "127.0.0.1:1"
URLS = {
    "KMEANS_STORE_URL": f"mongodb://admin:{PASSWORD}@{NOWHERE}/kmeans?serverSelectionTimeoutMS=300",
    "KMEANS_QUEUE_URL": f"amqp://admin:{PASSWORD}@{NOWHERE}/%2F?connection_attempts=1",
    "KMEANS_OBJECTS_URL": "s3://bucket/prefix",
    "KMEANS_S3_ENDPOINT_URL": f"http://{NOWHERE}",
    "AWS_ACCESS_KEY_ID": "known",
    "AWS_SECRET_ACCESS_KEY": PASSWORD,
    "AWS_DEFAULT_REGION": "us-east-1",
    "KMEANS_TOKENS": f"ann:{TOKEN}",
    "KMEANS_STARTUP_SECONDS": "0.5",
    "KMEANS_LOG_LEVEL": "debug",
}
# An empty variable is one that is not set.
EMBEDDED = dict.fromkeys(("KMEANS_STORE_URL", "KMEANS_QUEUE_URL", "KMEANS_OBJECTS_URL"), "")


@dataclass
class Secretive(Program):
    """The program with secrets in its environment."""

    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | self.more


def leaks(text: str) -> list[str]:
    return [secret[:8] for secret in SECRETS if secret in text]


def command_lines() -> str:
    """Of every process of this machine that we may see."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended meanwhile
    return "\n".join(found)


@pytest.mark.parametrize(
    ("service", "first"),
    [
        ("gateway", {}),
        ("scheduler", {"KMEANS_STORE_URL": f"mongodb://admin:{PASSWORD}@:x/?nonsense={PASSWORD}"}),
        ("worker", {"KMEANS_STORE_URL": "sqlite:///{folder}/jobs.sqlite"}),
        (
            "gateway",
            {"KMEANS_STORE_URL": "sqlite:///{folder}/j", "KMEANS_QUEUE_URL": f"amqp://a:{PASSWORD}@[::"},
        ),
        ("scheduler", {"KMEANS_STORE_URL": f"postgres://admin:{PASSWORD}@{NOWHERE}"}),
        ("worker", {"KMEANS_STORE_URL": f"{PASSWORD}"}),
        ("up --no-ui", EMBEDDED | {"KMEANS_TOKENS": f"ann:{TOKEN},ann:{TOKEN}!"}),
        ("gateway", {"KMEANS_LEASE_SECONDS": PASSWORD}),
    ],
    ids=["store", "bad store", "queue", "bad queue", "no store", "no url", "bad tokens", "bad setting"],
)
def test_a_process_that_cannot_start(tmp_path: Path, service: str, first: dict[str, str]) -> None:
    more = {name: value.replace("{folder}", str(tmp_path)) for name, value in first.items()}
    done = Secretive(tmp_path, more=URLS | more)(*service.split())
    assert done.returncode in {2, 3}, done.stderr
    assert done.stderr.strip()
    assert leaks(done.stdout + done.stderr) == []


def test_a_running_service(tmp_path: Path) -> None:
    pair = Authority(tmp_path / "tls").issue("gateway")
    key = "".join(pair.key.read_text().splitlines()[1:-1])
    program = Secretive(
        tmp_path,
        more={
            "KMEANS_TOKENS": f"ann:{TOKEN}",
            "KMEANS_TLS_CERTIFICATE": str(pair.certificate),
            "KMEANS_TLS_KEY": str(pair.key),
            "KMEANS_TLS_CA": str(tmp_path / "tls" / "authority.pem"),
            "KMEANS_TOKEN": TOKEN,
            "KMEANS_LOG_LEVEL": "debug",
        },
    )
    log = tmp_path / "up.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [str(PROGRAM), "up", "--no-ui", "--address", "127.0.0.1:0"],
            cwd=tmp_path,
            env=program.environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        target = program.address()
        file = program.file("t.csv", "a,b\n" + "\n".join(f"{i},{i * i % 7}" for i in range(60)))
        uploaded = program("upload", file, "--target", target)
        assert uploaded.returncode == 0, uploaded.stderr
        said = uploaded.stdout + uploaded.stderr
        for credentials in ({"token": TOKEN}, {"token": make_token()}, {"token": ""}):
            with Client(target, ca=program.more["KMEANS_TLS_CA"], **credentials) as client:
                with pytest.raises(KMeansError) as refused:
                    client.get_job(f"jobs/{'0' * 16}")
                said += repr(refused.value) + str(refused.value.__cause__) + repr(client)
        assert leaks(command_lines()) == []
        # The command that attaches to it says no more, and finds the TLS and the token.
        fitted = program("fit", file, "--max-k", "1", "--experiments", "1", "--json")
        assert fitted.returncode == 0, fitted.stderr
        assert json.loads(fitted.stdout)["n"] == 60
        said += fitted.stdout + fitted.stderr
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
    await_that(lambda: process.poll() is not None, "the service to end")
    written = log.read_text() + said
    assert "/kmeans.v1.JobService/GetJob" in written, "the log is that of the calls"
    assert leaks(written) == []
    assert key not in written


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in URLS.items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    assert (
        leaks(repr(settings) + str(settings) + settings.model_dump_json() + str(settings.model_dump())) == []
    )
