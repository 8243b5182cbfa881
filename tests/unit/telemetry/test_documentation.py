"""The table of metrics is what the processes tell, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import yaml

from services.core.ports import Store
from services.telemetry.observation import Observation

DOCS = Path(__file__).parents[3] / "docs" / "observability.md"
_ROW = re.compile(r"(?m)^\| `(kmeans_\w+)` \| (\w+) \| ([\w, ]*)\| [^|]+ \| ([^|]+) \|$")


def exported() -> dict[str, tuple[str, str]]:
    """Type and meaning of every metric, by the name it has in a query."""
    observation = Observation("worker")
    # Registers what is counted in the store; nothing is asked of it before it sweeps.
    observation.store(cast(Store, _Nothing()))
    families = [
        each for each in observation.instruments.registry.collect() if each.name.startswith("kmeans_")
    ]
    suffix = {"counter": "_total", "info": "_info"}
    kind = {"info": "gauge"}
    return {
        family.name + suffix.get(family.type, ""): (kind.get(family.type, family.type), family.documentation)
        for family in families
    }


class _Nothing:
    def __getattr__(self, name: str) -> object:
        return lambda *_arguments: None


def test_the_table_is_what_is_told() -> None:
    rows = {name: (kind, text) for name, kind, _, text in _ROW.findall(DOCS.read_text())}
    assert rows == exported()


def test_the_table_names_the_labels() -> None:
    documented = {
        name: tuple(filter(None, (label.strip() for label in labels.split(","))))
        for name, _, labels, _ in _ROW.findall(DOCS.read_text())
    }
    observation = Observation("worker")
    for metric in vars(observation.instruments).values():
        if hasattr(metric, "_labelnames"):
            suffix = "_total" if metric._type == "counter" else ""
            assert documented[f"{metric._name}{suffix}"] == metric._labelnames


def test_the_table_of_alerts_is_what_is_raised() -> None:
    rules: dict[str, str] = {}
    for file in (DOCS.parents[1] / "k8s" / "components" / "prometheus").glob("*alerts.yaml"):
        for group in yaml.safe_load(file.read_text())["spec"]["groups"]:
            rules |= {rule["alert"]: rule["labels"]["severity"] for rule in group["rules"]}
    assert dict(re.findall(r"(?m)^\| (KMeans\w+) \| (\w+) \|", DOCS.read_text())) == rules
