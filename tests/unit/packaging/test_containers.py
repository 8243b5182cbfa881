"""What can be checked of the image and the compose file without a container engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.main import app
from services.core.settings import Settings

ROOT = Path(__file__).parents[3]
OFFICIAL = {"rabbitmq", "mongo", "chrislusf/seaweedfs"}
OURS = {"gateway", "scheduler", "worker"}


def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def environments() -> dict[str, dict[str, str]]:
    return {name: compose()["services"][name]["environment"] for name in OURS}


def test_every_service_runs_a_command_that_exists() -> None:
    commands = {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }
    assert {compose()["services"][name]["command"][0] for name in OURS} == OURS <= commands


@pytest.mark.parametrize("service", sorted(OURS))
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
        assert set(service["depends_on"]) == {"mongodb", "rabbitmq", "s3"}


def test_a_worker_has_time_to_hand_back_its_work() -> None:
    grace = compose()["services"]["worker"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > Settings.model_fields["shutdown_grace_seconds"].default


def test_the_image_copies_what_exists_and_runs_as_nobody() -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    copied = [
        line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    assert copied
    for source in (source for sources in copied for source in sources):
        assert (ROOT / source).exists(), f"the Dockerfile copies {source}, which is not there"
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    shipped = packages - {"bench", "tests"}
    assert shipped <= {source for sources in copied for source in sources}
    stages = re.findall(r"(?m)^FROM (\S+)", text)
    assert all(re.search(r":\d", stage) for stage in stages)
    assert re.search(r"(?m)^USER 10001", text.split("FROM ")[-1])
    assert "HEALTHCHECK" not in text
