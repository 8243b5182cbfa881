"""Alerts and dashboard ask for what the services and RabbitMQ tell: names, labels and values."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from services.backends.rabbitmq.topology import Topology
from services.core.ports import Store
from services.telemetry.labels import LABELS
from services.telemetry.observation import Observation
from tests.manifests.rabbitmq_series import SERIES
from tests.manifests.rendering import K8S, of_kind, render

COMPONENT = K8S / "components" / "prometheus"
# Given by Prometheus, or by whoever scrapes, to every series.
_SCRAPED = {"pod", "job", "le"}
_SELECTOR = re.compile(r"\b((?:kmeans|process|rabbitmq)_\w+)(?:\{([^}]*)\})?")
_QUEUES = Topology("kmeans", 3)
_VALUES = {**LABELS, "queue": frozenset({_QUEUES.bundles, _QUEUES.dead, _QUEUES.damaged})}
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


class _Nothing:
    def __getattr__(self, name: str) -> object:
        return lambda *_arguments: None


def series() -> dict[str, set[str]]:
    """Labels of every series, by the name it has in a query."""
    observation = Observation("worker")
    observation.store(cast(Store, _Nothing()))
    found: dict[str, set[str]] = {
        "kmeans_build_info": {"service", "version"},
        "kmeans_jobs": {"state"},
        "kmeans_tasks": {"state"},
    } | {name: {"queue"} for names in SERIES.values() for name in names}
    for metric in vars(observation.instruments).values():
        if hasattr(metric, "_labelnames"):
            labels = set(metric._labelnames)
            endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
            found |= {f"{metric._name}{ending}": labels for ending in endings[metric._type]}
    for family in observation.instruments.registry.collect():
        found |= {sample.name: set(sample.labels) for sample in family.samples if sample.name not in found}
        if family.type == "gauge":
            found.setdefault(family.name, set())
    return found


def rules() -> list[dict[str, Any]]:
    loaded = [yaml.safe_load(file.read_text()) for file in COMPONENT.glob("*alerts.yaml")]
    return [rule for each in loaded for group in each["spec"]["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((COMPONENT / "dashboard.json").read_text())
    return loaded


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    yield from panel_expressions()


def panel_expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_every_series_asked_for_is_told_with_these_labels_and_values() -> None:
    told = series()
    asked = set()
    for expression in expressions():
        selectors = _SELECTOR.findall(expression)
        assert selectors, expression
        for name, matchers in selectors:
            assert name in told, f"{name} in {expression}"
            asked.add(re.sub(r"_(bucket|sum|count)$", "", name))
            for label, operator, value in _MATCHER.findall(matchers):
                assert label in told[name] | _SCRAPED, f"{name} has no {label}"
                if label in _VALUES:
                    matching = re.compile(value) if "~" in operator else re.compile(re.escape(value))
                    assert any(matching.fullmatch(known) for known in _VALUES[label]), f"{label}={value}"
        grouped = {
            label.strip()
            for labels in re.findall(r"by \(([^)]*)\)", expression)
            for label in labels.split(",")
        }
        known = set().union(*(told[name] for name, _ in selectors))
        assert grouped <= known | _SCRAPED, expression
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in told if name.startswith("kmeans_")}
    assert ours - asked == set(), "told, and shown nowhere"


def test_an_alert_on_a_quantile_can_fire() -> None:
    """A quantile is never told to be above the last bucket but one, the one without an end."""
    instruments = Observation("worker").instruments
    bounds = {
        metric._name: metric._upper_bounds[-2]
        for metric in vars(instruments).values()
        if getattr(metric, "_type", "") == "histogram"
    }
    limited = [
        found.groups()
        for rule in rules()
        if (found := re.search(r"histogram_quantile\(.*?(kmeans_\w+)_bucket.*> (\d+)$", rule["expr"]))
    ]
    assert {name for name, _ in limited} == {"kmeans_claim_latency_seconds", "kmeans_rpc_duration_seconds"}
    # The panels show uploads, which take minutes.
    assert bounds["kmeans_rpc_duration_seconds"] >= 300
    assert bounds["kmeans_backend_call_duration_seconds"] >= 300
    for name, threshold in limited:
        assert float(threshold) < bounds[name], name


def test_alerts_say_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["description"]
    assert len({rule["alert"] for rule in rules()}) == len(rules())


def test_panels_do_not_lie_on_each_other() -> None:
    taken = set()
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(x, place["y"]) for x in range(place["x"], place["x"] + place["w"])}
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells


def test_the_component_carries_both() -> None:
    objects = render(K8S / "overlays" / "production")
    (carried,) = [
        each for each in of_kind(objects, "ConfigMap") if each["metadata"]["name"] == "kmeans-dashboard"
    ]
    assert json.loads(carried["data"]["kmeans.json"]) == dashboard()
    names = {each["metadata"]["name"] for each in of_kind(objects, "PrometheusRule")}
    assert names == {"kmeans-queue", "kmeans-service"}


def test_promtool_takes_the_panels(promtool: str, tmp_path: Path) -> None:
    panels = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(panel_expressions())
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}))
    command = [promtool, "check", "rules", "--lint-fatal", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_worker_is_a_figure_and_not_a_gap(promtool: str, tmp_path: Path) -> None:
    asked = [expression for expression in panel_expressions() if 'service="worker"' in expression]
    assert asked
    none = {"labels": "{}", "value": 0}
    case = {
        "interval": "1m",
        "input_series": [{"series": 'kmeans_build_info{service="gateway"}', "values": "1x5"}],
        "promql_expr_test": [{"expr": each, "eval_time": "5m", "exp_samples": [none]} for each in asked],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"tests": [case]}))
    command = [promtool, "test", "rules", str(file)]
    tested = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_dashboard_shows_the_queues_that_matter() -> None:
    shown = {
        (name, queue)
        for expression in panel_expressions()
        for name, queue in re.findall(r'(rabbitmq_\w+)\{queue="([^"]+)"\}', expression)
    }
    assert shown >= {
        ("rabbitmq_detailed_queue_messages_ready", _QUEUES.bundles),
        ("rabbitmq_detailed_queue_messages_unacked", _QUEUES.bundles),
        ("rabbitmq_detailed_queue_messages", _QUEUES.dead),
    }
