"""Rendering: what `kubectl apply -k` would send, as plain objects."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

__all__ = ["K8S", "OVERLAYS", "Object", "RenderingFailed", "named", "of_kind", "pods", "render"]

K8S = Path(__file__).parents[2] / "k8s"
OVERLAYS = tuple(sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml")))

_KUBECTL = Path(sys.executable).parent / "kubectl"
_SECONDS = 60

Object = Mapping[str, Any]


class RenderingFailed(Exception):
    """kustomize refuses a folder; says why."""


def render(folder: Path) -> tuple[Object, ...]:
    """Every object of a kustomization; RenderingFailed with kustomize's own words."""
    ended = subprocess.run(
        [str(_KUBECTL), "kustomize", str(folder)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if ended.returncode:
        raise RenderingFailed(f"{folder.name} does not render: {ended.stderr.strip()}")
    return tuple(yaml.safe_load_all(ended.stdout))


def of_kind(objects: Sequence[Object], *kinds: str) -> tuple[Object, ...]:
    """Those of these kinds."""
    return tuple(each for each in objects if each["kind"] in kinds)


def named(objects: Sequence[Object], kind: str, name: str) -> Object:
    """The one object of this kind and name; LookupError when there is none."""
    for each in of_kind(objects, kind):
        if each["metadata"]["name"] == name:
            return each
    raise LookupError(f"there is no {kind} {name}")


def pods(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """Name and pod template of everything that runs pods."""
    for each in of_kind(objects, "Deployment", "StatefulSet", "DaemonSet", "Job"):
        yield each["metadata"]["name"], each["spec"]["template"]
