"""Servers that cannot be had, or are not ours; and who stops those that are shared."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.servers import promtool, rabbitmq
from tests.servers.debian import install_package
from tests.servers.fixtures import provided
from tests.servers.fleet import Servers
from tests.servers.mongodb import MongoDB
from tests.servers.ports import choose_ports
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.seaweedfs import SeaweedFS
from tests.servers.server import ServerFailed, ServerMissing

NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_server_that_is_missing_skips_at_home_and_fails_in_ci(
    ci: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="mongodb is needed"):
        provided(MongoDB(tmp_path))


def test_no_test_skips_for_want_of_a_server_without_asking_whether_it_is_in_ci() -> None:
    for file in Path(__file__).parents[2].rglob("*.py"):
        code = file.read_text()
        if "except ServerMissing" in code or "except (ServerMissing" in code:
            assert "pytest.skip(" not in code or 'os.environ.get("CI")' in code, file


@pytest.mark.parametrize("kind", [MongoDB, SeaweedFS])
def test_a_program_that_is_not_installed_is_named(
    kind: type[MongoDB | SeaweedFS], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerMissing, match=r"is not installed in .* make servers"):
        kind(tmp_path).start()


def test_without_root_rights_the_command_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rabbitmq, "_PROGRAMS", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(ServerMissing, match="sudo apt-get install rabbitmq-server"):
        RabbitMQ(tmp_path).start()


def test_without_apt_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerMissing, match="there is no apt-get"):
        install_package("rabbitmq-server")


def test_promtool_that_cannot_be_had_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promtool, "_UNPACKED", tmp_path / "prometheus")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerMissing, match="prometheus is not installed, and there is no apt-get"):
        promtool.provide_promtool()


def test_a_server_that_ends_while_it_starts_shows_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["/bin/sh", "-c", "echo the disk is on fire; exit 3"]
    server = MongoDB(tmp_path)
    monkeypatch.setattr(server, "command", lambda: command)
    with pytest.raises(ServerFailed, match=r"ended while it started(.|\n)*the disk is on fire"):
        server.start()
    assert server.state.processes == {}


def test_a_mongod_on_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mongod = tmp_path / "mongod"
    mongod.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert MongoDB(tmp_path).command()[0] == str(mongod)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("rabbitmq", f"amqp://{NOWHERE}/"),
        ("mongodb", f"mongodb://{NOWHERE}/kmeans?serverSelectionTimeoutMS=1"),
    ],
)
def test_a_server_that_was_given_is_not_ours(tmp_path: Path, name: str, url: str) -> None:
    server = Servers(tmp_path, {name: url})[name]
    assert server.url == url
    with pytest.raises(ServerFailed, match="not ours to start"):
        server.start()
    with pytest.raises(ServerFailed, match="not ours to restart"):
        server.restart(wipe=True)
    server.stop()


class Recorded(Servers):
    stops = 0

    def stop(self) -> None:
        self.stops += 1


def test_the_last_session_stops_the_servers(tmp_path: Path) -> None:
    first, last = Recorded(tmp_path), Recorded(tmp_path)
    with last.session():
        with first.session():
            pass
        assert first.stops == 0
    assert last.stops == 1


def test_a_session_leaves_alone_what_was_started_by_hand(tmp_path: Path) -> None:
    servers = Recorded(tmp_path)
    servers.keep()
    with servers.session():
        pass
    assert servers.stops == 0
    servers.release()
    with servers.session():
        pass
    assert servers.stops == 1


def test_ports_are_different_and_free() -> None:
    ports = choose_ports([str(number) for number in range(50)])
    assert len(set(ports.values())) == 50
