"""The policy as the manifest of the workers' ScaledObject has it: what is rehearsed is what is applied."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from tests.manifests.rendering import K8S, Object, named, render
from tests.scaling.policy import Behaviour, Rate, ScalingPolicy

__all__ = ["read_policy", "shipped_policy", "shipped_slots"]


@cache
def shipped_policy() -> ScalingPolicy:
    """Of the workers in production."""
    return read_policy(named(render(K8S / "overlays" / "production"), "ScaledObject", "worker"))


@cache
def shipped_slots() -> int:
    """Of each worker in production."""
    worker = named(render(K8S / "overlays" / "production"), "Deployment", "worker")
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    return next(int(each["value"]) for each in container["env"] if each["name"] == "KMEANS_WORKER_SLOTS")


def read_policy(scaled_object: Object) -> ScalingPolicy:
    """Read one trigger and the behaviour of its HPA; nothing is taken from a default."""
    spec = scaled_object["spec"]
    (trigger,) = spec["triggers"]
    behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    return ScalingPolicy(
        target=float(trigger["metadata"]["value"]),
        activation=float(trigger["metadata"]["activationValue"]),
        min_replicas=spec["minReplicaCount"],
        max_replicas=spec["maxReplicaCount"],
        cooldown_seconds=float(spec["cooldownPeriod"]),
        up=_behaviour(behaviour["scaleUp"]),
        down=_behaviour(behaviour["scaleDown"]),
        polling_seconds=float(spec["pollingInterval"]),
    )


def _behaviour(rules: Mapping[str, Any]) -> Behaviour:
    return Behaviour(
        float(rules["stabilizationWindowSeconds"]),
        tuple(Rate(each["type"], each["value"], float(each["periodSeconds"])) for each in rules["policies"]),
        rules["selectPolicy"],
    )
