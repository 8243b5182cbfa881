"""Alerts are raised when they should be and not before: rules as they ship, evaluated by promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.rendering import K8S

FILES = tuple(sorted((K8S / "components" / "prometheus").glob("*alerts.yaml")))
BUNDLES, DEAD, DAMAGED = (f'{{queue="kmeans.{name}.v1"}}' for name in ("bundles", "dead", "damaged"))
CREATE = 'method="JobService/CreateJob"'


@dataclass(frozen=True)
class Case:
    """What happens, as series by the minute in promtool's notation, and whether the alert is raised then.

    `1x30` is 1 and thirty times 1 more, `0+6x30` is six more each minute, `_x3` is three times nothing.
    """

    alert: str
    story: str
    series: Mapping[str, str]
    at: str
    is_raised: bool

    @property
    def id(self) -> str:
        return f"{self.alert}: {self.story}"


def raised(alert: str, story: str, series: Mapping[str, str], at: str = "30m") -> Case:
    return Case(alert, story, series, at, is_raised=True)


def silent(alert: str, story: str, series: Mapping[str, str], at: str = "30m") -> Case:
    return Case(alert, story, series, at, is_raised=False)


def calls(code: str, values: str, method: str = "JobService/CreateJob") -> dict[str, str]:
    return {f'kmeans_rpcs_total{{method="{method}",code="{code}"}}': values}


def failures(values: str, pod: str = "scheduler-1") -> dict[str, str]:
    return {
        f'kmeans_backend_call_failures_total{{backend="store",operation="acquire_lease",pod="{pod}"}}': values
    }


def latencies(name: str, quick: str, slow: str, labels: str = "") -> dict[str, str]:
    """So many observations below a tenth of a second, and so many above any limit that an alert has."""
    return {
        f'{name}_bucket{{le="0.1"{labels}}}': f"0+{quick}x60",
        f'{name}_bucket{{le="1000"{labels}}}': f"0+{slow}x60",
        f'{name}_bucket{{le="+Inf"{labels}}}': f"0+{slow}x60",
    }


CASES = (
    # One scheduler has the lease. It is told every two seconds of it, so that a few minutes mean nobody.
    silent(
        "KMeansNobodySweeps",
        "one of two",
        {'kmeans_sweeping{pod="1"}': "1x30", 'kmeans_sweeping{pod="2"}': "0x30"},
    ),
    raised(
        "KMeansNobodySweeps",
        "neither of two",
        {'kmeans_sweeping{pod="1"}': "1x10 0x20", 'kmeans_sweeping{pod="2"}': "0x30"},
    ),
    raised("KMeansNobodySweeps", "there is none", {"up": "1x30"}),
    raised("KMeansNothingEnds", "no worker at all", {'kmeans_tasks{state="pending"}': "7x90"}, "90m"),
    raised(
        "KMeansNothingEnds",
        "workers that end nothing",
        {'kmeans_tasks{state="running"}': "7x90", 'kmeans_tasks_ended_total{state="done"}': "5x90"},
        "90m",
    ),
    silent(
        "KMeansNothingEnds",
        "a task now and then",
        {'kmeans_tasks{state="running"}': "7x90", 'kmeans_tasks_ended_total{state="done"}': "0+0.1x90"},
        "90m",
    ),
    silent("KMeansNothingEnds", "nothing to do", {'kmeans_tasks{state="pending"}': "0x90"}, "90m"),
    raised("KMeansMistakes", "the first one since the start", calls("INTERNAL", "0x10 1x2"), "12m"),
    raised("KMeansMistakes", "lost data", calls("DATA_LOSS", "0x10 1x2"), "12m"),
    silent("KMeansMistakes", "a mistake of the caller's", calls("INVALID_ARGUMENT", "0+60x30")),
    silent("KMeansMistakes", "one of an hour ago", calls("UNKNOWN", "0 1x60"), "60m"),
    raised("KMeansUnavailable", "one call in ten", calls("OK", "0+90x30") | calls("UNAVAILABLE", "0+10x30")),
    silent("KMeansUnavailable", "one in fifty", calls("OK", "0+98x30") | calls("UNAVAILABLE", "0+2x30")),
    raised(
        "KMeansNoGatewayReady",
        "two that wait for a server",
        {
            'kmeans_ready{service="gateway",pod="1"}': "1x10 0x20",
            'kmeans_ready{service="gateway",pod="2"}': "1x10 0x20",
            'kmeans_ready{service="worker",pod="3"}': "1x30",
            'kmeans_build_info{service="gateway"}': "1x30",
        },
    ),
    raised("KMeansNoGatewayReady", "there is none", {'kmeans_build_info{service="worker"}': "1x30"}),
    silent(
        "KMeansNoGatewayReady",
        "one of two waits",
        {
            'kmeans_ready{service="gateway",pod="1"}': "0x30",
            'kmeans_ready{service="gateway",pod="2"}': "1x30",
            'kmeans_build_info{service="gateway"}': "1x30",
        },
    ),
    silent(
        "KMeansNoGatewayReady",
        "gateways that answer no probes",
        {'kmeans_build_info{service="gateway"}': "1x30"},
    ),
    raised("KMeansNotReady", "one of two", {'kmeans_ready{service="worker",pod="1"}': "1x9 0x21"}),
    silent("KMeansNotReady", "while it starts", {'kmeans_ready{service="worker",pod="1"}': "0x2 1x28"}),
    # What is left to fail in an outage: a scheduler that waits between its attempts makes five a minute, a
    # process whose server hangs gives up twice a minute.
    raised("KMeansBackendFails", "one scheduler that waits between its attempts", failures("0+5x30")),
    raised("KMeansBackendFails", "one process whose server hangs", failures("0+2x30")),
    silent("KMeansBackendFails", "a call in ten minutes", failures("0x9 1x9 2x9 3x9")),
    raised("KMeansBundlesGivenUp", "one", {"kmeans_dead_bundles_total": "0x10 1x5"}, "12m"),
    silent("KMeansBundlesGivenUp", "none", {"kmeans_dead_bundles_total": "0x30"}),
    raised("KMeansWorkersLost", "ten in ten minutes", {"kmeans_leases_expired_total": "0+1x10"}, "10m"),
    silent("KMeansWorkersLost", "one an hour", {"kmeans_leases_expired_total": "0x20 1x40"}, "30m"),
    raised("KMeansQueueSlow", "most wait for long", latencies("kmeans_claim_latency_seconds", "5", "10")),
    silent("KMeansQueueSlow", "nearly none does", latencies("kmeans_claim_latency_seconds", "99", "100")),
    raised(
        "KMeansCallsSlow",
        "one in two",
        latencies("kmeans_rpc_duration_seconds", "5", "10", f",{CREATE}"),
    ),
    silent(
        "KMeansCallsSlow",
        "an upload",
        latencies("kmeans_rpc_duration_seconds", "5", "10", ',method="DatasetService/UploadDataset"'),
    ),
    raised("KMeansQueuesUnseen", "no exporter", {"up": "1x30"}),
    raised("KMeansQueuesUnseen", "half of it", {f"rabbitmq_detailed_queue_messages{BUNDLES}": "0x30"}),
    silent(
        "KMeansQueuesUnseen",
        "all of it",
        {
            f"rabbitmq_detailed_queue_messages{BUNDLES}": "0x30",
            f"rabbitmq_detailed_queue_consumers{BUNDLES}": "0x30",
        },
    ),
    raised("KMeansDeadLettersStay", "one", {f"rabbitmq_detailed_queue_messages{DEAD}": "0x9 1x21"}),
    silent(
        "KMeansDeadLettersStay", "for a minute", {f"rabbitmq_detailed_queue_messages{DEAD}": "0x9 1 0x20"}
    ),
    raised("KMeansMessagesDamaged", "one", {f"rabbitmq_detailed_queue_messages{DAMAGED}": "0x9 1x21"}),
    silent("KMeansMessagesDamaged", "none", {f"rabbitmq_detailed_queue_messages{DAMAGED}": "0x30"}),
    raised(
        "KMeansBundlesWait",
        "for nobody",
        {
            f"rabbitmq_detailed_queue_messages_ready{BUNDLES}": "5x30",
            f"rabbitmq_detailed_queue_consumers{BUNDLES}": "0x30",
        },
    ),
    silent(
        "KMeansBundlesWait",
        "for workers that are busy",
        {
            f"rabbitmq_detailed_queue_messages_ready{BUNDLES}": "5x30",
            f"rabbitmq_detailed_queue_consumers{BUNDLES}": "2x30",
        },
    ),
)


def alerts() -> Iterator[str]:
    for file in FILES:
        for group in yaml.safe_load(file.read_text())["spec"]["groups"]:
            yield from (rule["alert"] for rule in group["rules"])


def run(promtool: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [promtool, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def rules(tmp_path: Path) -> list[str]:
    """The rule files as Prometheus itself reads them: what the operator is given holds them under `spec`."""
    for file in FILES:
        (tmp_path / file.name).write_text(yaml.safe_dump(yaml.safe_load(file.read_text())["spec"]))
    return [str(tmp_path / file.name) for file in FILES]


def test_promtool_takes_the_rules(promtool: str, rules: list[str]) -> None:
    run(promtool, "check", "rules", "--lint-fatal", *rules)


def test_every_alert_is_tried_both_ways() -> None:
    tried = {(case.alert, case.is_raised) for case in CASES}
    assert tried == {(alert, is_raised) for alert in alerts() for is_raised in (True, False)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_alert_is_raised_when_it_should_be(
    promtool: str, rules: list[str], tmp_path: Path, case: Case
) -> None:
    # By the series of all alerts: promtool's own tests of them would have every sentence written here again.
    firing = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)'
    expected: dict[str, Any] = {
        "expr": firing,
        "eval_time": case.at,
        "exp_samples": [{"labels": "{}", "value": int(case.is_raised)}],
    }
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    test = {
        "rule_files": rules,
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [expected]}],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(test))
    run(promtool, "test", "rules", file)
