"""What is sent to Kubernetes is what it takes, and every component fits the base."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.manifests.rendering import K8S, Object, RenderingFailed, named, of_kind, render
from tests.manifests.settings_file import SETTINGS_FILE, settings_text
from tests.manifests.validation import NEWEST, OLDEST, complaints

COMPONENTS = sorted(path.parent.name for path in K8S.glob("components/*/kustomization.yaml"))


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_overlay_is_valid(objects: tuple[Object, ...], version: str) -> None:
    assert list(complaints(objects, version)) == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_fits_the_base_alone(component: str, tmp_path: Path) -> None:
    # In a copy: kustomize takes relative folders only.
    copy = shutil.copytree(K8S, tmp_path / "k8s")
    trial = copy / "overlays" / "trial"
    trial.mkdir()
    (trial / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["../../base"], "components": [f"../../components/{component}"]})
    )
    objects = render(trial)
    assert list(complaints(objects, NEWEST)) == []
    for scaler in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        # Raises when it would scale nothing.
        named(objects, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])


def test_what_kustomize_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
    with pytest.raises(RenderingFailed, match=r"nowhere\.yaml"):
        render(tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [("Deployment", "worker", "replica"), ("ScaledObject", "worker", "coolDownPeriod")],
)
def test_a_misspelt_field_is_found(kind: str, name: str, field: str) -> None:
    objects = render(K8S / "overlays" / "local-keda")
    wrong = dict(named(objects, kind, name))
    wrong["spec"] = wrong["spec"] | {field: 1}
    (complaint,) = complaints([wrong], NEWEST)
    assert field in complaint
    assert kind in complaint


def test_the_settings_of_the_configmap_are_the_defaults(objects: tuple[Object, ...], overlay: str) -> None:
    written = SETTINGS_FILE.read_text()
    assert written == settings_text(), "a default changed: run `make k8s-settings`"
    (configured,) = [
        each for each in of_kind(objects, "ConfigMap") if "kmeans-settings" in each["metadata"]["name"]
    ]
    given = dict(line.split("=", 1) for line in written.splitlines() if line and not line.startswith("#"))
    changed = {"KMEANS_ALLOW_ANYONE": "true"} if overlay.startswith("local") else {}
    assert configured["data"] == given | changed
