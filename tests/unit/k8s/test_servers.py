"""The servers of the trial come up, also a second time: on volumes with data, and at another address."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.manifests.rendering import Object, named, of_kind, pods

Objects = tuple[Object, ...]

ROOT = Path(__file__).parents[3]

# A laptop, less what kind's own pods ask for.
PROCESSORS, GIBIBYTES = 3, 6

# Stands in for SeaweedFS: the first shells come before there is a filer, and end with 0 like every other one.
_WEED = """#!/bin/sh
echo "$@" >> "$FOLDER/calls"
if [ "$1" = server ]; then
  until [ -e "$FOLDER/listed" ]; do sleep 0.05; done
  exit
fi
cat > "$FOLDER/input"
if [ "$(grep -c ^shell "$FOLDER/calls")" -lt 3 ]; then
  echo "error: there is no filer to make kmeans" >&2
  exit 0
fi
printf '> create bucket under /buckets\\n> '
if grep -q '^s3.bucket.list' "$FOLDER/input"; then
  printf '  kmeans\\tsize:0\\tchunk:0\\n'
  touch "$FOLDER/listed"
fi
"""


def of_pods(objects: Objects, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = named(objects, "StatefulSet", name)["spec"]["template"]["spec"]
    return spec


def scripts(objects: Objects) -> list[str]:
    (container,) = of_pods(objects, "s3")["containers"]
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["s3"]["command"][0]
    return [container["args"][0], composed.replace("$$", "$")]


@pytest.fixture
def trial(rendered: Any) -> Objects:
    objects: Objects = rendered("local")
    return objects


@pytest.mark.parametrize("number", [0, 1], ids=["kubernetes", "compose"])
def test_the_bucket_is_made_however_late_the_filer_comes(trial: Objects, tmp_path: Path, number: int) -> None:
    weed = tmp_path / "bin" / "weed"
    weed.parent.mkdir()
    weed.write_text(_WEED)
    weed.chmod(0o755)
    script = (
        scripts(trial)[number]
        .replace("/tmp/s3.json", str(tmp_path / "s3.json"))
        .replace("sleep 2", "sleep 0.05")
    )
    environment = {
        "PATH": f"{weed.parent}:{os.environ['PATH']}",
        "FOLDER": str(tmp_path),
        "ACCESS_KEY": "one",
        "SECRET_KEY": "two",
    }
    subprocess.run(["/bin/sh", "-c", script], env=environment, timeout=60, check=True)
    assert "-s3.config=" in (tmp_path / "calls").read_text()
    assert '"accessKey": "one", "secretKey": "two"' in (tmp_path / "s3.json").read_text()


def test_what_the_secret_says_is_where_the_servers_are_and_what_they_know(trial: Objects) -> None:
    told, known = (secret(trial, name) for name in ("kmeans-backends", "kmeans-servers"))
    for key in ("store-url", "queue-url", "s3-endpoint-url", "http-url"):
        url = urlsplit(told[key])
        service = named(trial, "Service", str(url.hostname).partition(".")[0])["spec"]
        assert url.port in {port["port"] for port in service["ports"]}, key
    for key in ("queue-url", "http-url"):
        url = urlsplit(told[key])
        assert (url.username, url.password) == (known["rabbitmq-user"], known["rabbitmq-password"]), key
    for key in ("s3-access-key", "s3-secret-key"):
        assert told[key] == known[key]
    (mongodb,) = of_pods(trial, "mongodb")["containers"]
    (name,) = parse_qs(urlsplit(told["store-url"]).query)["replicaSet"]
    assert mongodb["args"][mongodb["args"].index("--replSet") + 1] == name
    assert f'_id: "{name}"' in mongodb["startupProbe"]["exec"]["command"][-1]
    bucket = re.escape(str(urlsplit(told["objects-url"]).hostname))
    assert re.search(rf"s3\.bucket\.create -name {bucket}\\n", scripts(trial)[0])


def secret(objects: Objects, name: str) -> dict[str, str]:
    """The values of those whose names carry a hash, too."""
    (data,) = (
        each["data"]
        for each in of_kind(objects, "Secret")
        if re.fullmatch(rf"{name}(-[a-z0-9]{{10}})?", each["metadata"]["name"])
    )
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def test_no_volume_of_a_server_is_opened_to_a_group_again(trial: Objects) -> None:
    # RabbitMQ does not start with an Erlang cookie that its group may read.
    for each in of_kind(trial, "StatefulSet"):
        context = each["spec"]["template"]["spec"]["securityContext"]
        assert context["fsGroupChangePolicy"] == "OnRootMismatch", each["metadata"]["name"]


def test_the_member_of_the_replica_set_finds_itself_without_dns(trial: Objects) -> None:
    spec = of_pods(trial, "mongodb")
    (container,) = spec["containers"]
    member = str(container["startupProbe"]["exec"]["command"]).split('host: "')[1].split(":27017")[0]
    assert {"ip": "127.0.0.1", "hostnames": [member]} in spec["hostAliases"]
    service = named(trial, "Service", member)["spec"]
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True


def test_erlang_does_not_make_room_for_every_file_of_the_node(trial: Objects) -> None:
    (container,) = of_pods(trial, "rabbitmq")["containers"]
    assert {"name": "ERL_FLAGS", "value": "+Q 65536"} in container["env"]
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["rabbitmq"]
    assert composed["environment"]["ERL_FLAGS"] == "+Q 65536"


def test_a_trial_fits_a_small_machine(rendered: Any, overlay: str) -> None:
    if overlay == "production":
        pytest.skip("it has a cluster")
    objects = rendered(overlay)
    counts = {
        each["metadata"]["name"]: each["spec"].get("replicas", 1)
        for each in of_kind(objects, "Deployment", "StatefulSet")
    }
    # The least of gateways, the most of workers: these are what a trial is to see.
    for each in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        scaled = each["spec"]
        counts[scaled["scaleTargetRef"]["name"]] = scaled.get("maxReplicaCount") or scaled["minReplicas"]
    asked = {"cpu": 0.0, "memory": 0.0}
    for name, template in pods(objects):
        (container,) = template["spec"]["containers"]
        for resource in asked:
            asked[resource] += counts[name] * amount(container["resources"]["requests"][resource])
    assert asked["cpu"] <= PROCESSORS
    assert asked["memory"] <= GIBIBYTES * 2**30


def amount(quantity: str) -> float:
    for suffix, factor in (("m", 0.001), ("Mi", 2.0**20), ("Gi", 2.0**30)):
        if quantity.endswith(suffix):
            return float(quantity.removesuffix(suffix)) * factor
    return float(quantity)
