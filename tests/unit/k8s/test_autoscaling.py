"""What the number of pods follows, and how many there are at least."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from services.backends.rabbitmq.topology import Topology
from tests.manifests.rendering import K8S, Object, named, of_kind
from tests.scaling.manifest import shipped_slots

Objects = tuple[Object, ...]


@pytest.fixture(params=["local-keda", "local-prometheus", "production"])
def scaled(request: pytest.FixtureRequest, rendered: Callable[[str], Objects]) -> Objects:
    """Every object of an overlay with KEDA."""
    return rendered(request.param)


def test_workers_follow_what_waits_and_what_is_being_worked_on(scaled: Objects) -> None:
    """Word by word: KEDA passes over a field that it does not know, and counts something else."""
    scaler = named(scaled, "ScaledObject", "worker")["spec"]
    assert scaler["scaleTargetRef"] == {"name": "worker"}
    (trigger,) = scaler["triggers"]
    assert trigger == {
        "type": "rabbitmq",
        "metricType": "AverageValue",
        "metadata": {
            "protocol": "http",
            "mode": "QueueLength",
            "excludeUnacknowledged": "false",
            "queueName": Topology("kmeans", 3).bundles,
            "value": str(shipped_slots()),
            "activationValue": "0",
            "timeout": "5000",
        },
        "authenticationRef": {"name": "rabbitmq"},
    }


def test_nobody_is_let_go_for_want_of_figures(scaled: Objects) -> None:
    """RabbitMQ's management may fail alone; the workers that are busy do not need it."""
    spec = named(scaled, "ScaledObject", "worker")["spec"]
    assert spec.get("fallback", {}).get("replicas", spec["maxReplicaCount"]) >= spec["maxReplicaCount"]


def test_where_rabbitmq_is_read_is_a_key_of_a_secret(scaled: Objects) -> None:
    (trigger,) = named(scaled, "ScaledObject", "worker")["spec"]["triggers"]
    authentication = named(scaled, "TriggerAuthentication", trigger["authenticationRef"]["name"])
    (reference,) = authentication["spec"]["secretTargetRef"]
    assert reference["parameter"] == "host"
    made = {each["metadata"]["name"]: each["data"] for each in of_kind(scaled, "Secret")}
    if reference["name"] not in made:
        documented = (K8S.parent / "docs" / "deploy.md").read_text().split("the Secret `kmeans-backends`:")[1]
        assert reference["name"] == "kmeans-backends"
        assert re.search(rf"(?m)^\| `{reference['key']}` \| `https://", documented)
        return
    url = urlsplit(base64.b64decode(made[reference["name"]][reference["key"]]).decode())
    service, namespace, _ = str(url.hostname).split(".")
    ports = {port["name"]: port["port"] for port in named(scaled, "Service", service)["spec"]["ports"]}
    assert (url.scheme, namespace, url.port) == ("http", "kmeans", ports["management"])
    assert url.username
    assert url.password


def test_gateways_follow_their_processors_and_are_two_at_least(objects: Objects) -> None:
    spec = named(objects, "HorizontalPodAutoscaler", "gateway")["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gateway"}
    assert 2 <= spec["minReplicas"] < spec["maxReplicas"]
    (metric,) = spec["metrics"]
    assert metric["type"] == "Resource"
    assert metric["resource"]["name"] == "cpu"
    assert metric["resource"]["target"]["type"] == "Utilization"


def test_whoever_answers_calls_is_replaced_after_the_successor_is_ready(objects: Objects) -> None:
    for name in ("gateway", "scheduler", "ui"):
        rollout = named(objects, "Deployment", name)["spec"]["strategy"]
        assert rollout.get("type", "RollingUpdate") == "RollingUpdate", name
        assert rollout["rollingUpdate"]["maxUnavailable"] == 0, name
        assert rollout["rollingUpdate"]["maxSurge"] == 1, name


def test_most_workers_go_on_while_some_are_replaced(objects: Objects) -> None:
    rollout = named(objects, "Deployment", "worker")["spec"]["strategy"]["rollingUpdate"]
    assert 0 < int(rollout["maxUnavailable"].removesuffix("%")) <= 25
