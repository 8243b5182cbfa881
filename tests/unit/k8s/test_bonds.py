"""What names something else names something that is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from services.backends.rabbitmq.topology import Topology
from tests.manifests.arrows import matches
from tests.manifests.rabbitmq_series import PATH, SERIES
from tests.manifests.rendering import K8S, Object, named, of_kind, pods

Objects = tuple[Object, ...]
Rendered = Callable[[str], Objects]


def selected(objects: Objects, selector: dict[str, Any]) -> list[str]:
    return [name for name, template in pods(objects) if matches(selector, template["metadata"]["labels"])]


def test_everything_is_in_our_namespace_and_says_whose_it_is(objects: Objects) -> None:
    for each in objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == labels["app.kubernetes.io/part-of"] == "kmeans"
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == "kmeans", each["metadata"]["name"]
    (namespace,) = of_kind(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pods_carry_the_labels_of_what_runs_them(objects: Objects) -> None:
    for name, template in pods(objects):
        assert template["metadata"]["labels"]["app.kubernetes.io/component"] == name
    for each in of_kind(objects, "Deployment", "StatefulSet"):
        assert each["metadata"]["labels"]["app.kubernetes.io/component"] == each["metadata"]["name"]
        assert selected(objects, each["spec"]["selector"]) == [each["metadata"]["name"]]


def test_every_service_selects_the_pods_of_its_name_and_a_port_they_have(objects: Objects) -> None:
    templates = dict(pods(objects))
    for service in of_kind(objects, "Service"):
        (name,) = selected(objects, {"matchLabels": service["spec"]["selector"]})
        assert name == service["metadata"]["name"]
        offered = {
            port["name"]: port["containerPort"] for port in templates[name]["spec"]["containers"][0]["ports"]
        }
        for port in service["spec"]["ports"]:
            assert offered[port["targetPort"]] == port["port"]


def test_every_disruption_budget_covers_the_pods_of_its_name(objects: Objects) -> None:
    budgets = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "PodDisruptionBudget")}
    assert set(budgets) == {each["metadata"]["name"] for each in of_kind(objects, "Deployment")}
    for name, spec in budgets.items():
        assert selected(objects, spec["selector"]) == [name]
        # A node is drained by moving pods one after the other, and those that are not ready at once.
        assert spec["maxUnavailable"] not in (0, "0%"), f"{name}: no node could be drained"
        assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow", name


def test_pods_are_spread_over_nodes_by_their_own_kind(objects: Objects) -> None:
    for each in of_kind(objects, "Deployment"):
        spread = each["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {rule["topologyKey"] for rule in spread} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }
        for rule in spread:
            assert selected(objects, rule["labelSelector"]) == [each["metadata"]["name"]]
            assert rule["matchLabelKeys"] == ["pod-template-hash"]


def test_every_autoscaler_has_a_target_that_leaves_the_number_to_it(objects: Objects) -> None:
    scalers = of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    targets = [each["spec"]["scaleTargetRef"]["name"] for each in scalers]
    assert len(targets) == len(set(targets)), "two autoscalers pull at one Deployment"
    for name in targets:
        assert "replicas" not in named(objects, "Deployment", name)["spec"]


def test_every_pod_has_an_account_of_its_own_without_a_token(objects: Objects) -> None:
    for each in of_kind(objects, "Deployment"):
        account = named(objects, "ServiceAccount", each["spec"]["template"]["spec"]["serviceAccountName"])
        assert account["metadata"]["name"] == each["metadata"]["name"]
        assert account["automountServiceAccountToken"] is False


def test_every_ingress_leads_to_a_port_of_a_service(objects: Objects) -> None:
    for ingress in of_kind(objects, "Ingress"):
        hosts = {host for entry in ingress["spec"]["tls"] for host in entry["hosts"]}
        for rule in ingress["spec"]["rules"]:
            assert rule["host"] in hosts, "a host without a certificate"
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = named(objects, "Service", backend["name"])
                assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


def test_every_secret_that_is_brought_along_is_documented(objects: Objects) -> None:
    made = {each["metadata"]["name"] for each in of_kind(objects, "Secret")}
    named_ones = {
        entry["secretName"] for each in of_kind(objects, "Ingress") for entry in each["spec"]["tls"]
    }
    named_ones |= {
        volume["secret"]["secretName"]
        for _, template in pods(objects)
        for volume in template["spec"]["volumes"]
        if "secret" in volume
    }
    deploy = (K8S.parent / "docs" / "deploy.md").read_text()
    assert {name for name in named_ones - made if f"| `{name}` |" not in deploy} == set()


def test_the_scaler_and_the_alerts_look_at_queues_that_exist(objects: Objects) -> None:
    topology = Topology("kmeans", 3)
    names = {topology.bundles, topology.dead, topology.damaged}
    for scaler in of_kind(objects, "ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            assert trigger["metadata"]["queueName"] == topology.bundles
    watched = set()
    for rules in of_kind(objects, "PrometheusRule"):
        text = str([rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]])
        watched |= {part.split('"')[0] for part in text.split('queue="')[1:]}
    assert watched in (set(), names)


def test_what_is_scraped_are_ports_of_the_pods(objects: Objects) -> None:
    templates = dict(pods(objects))
    for monitor in of_kind(objects, "PodMonitor"):
        names = selected(objects, monitor["spec"]["selector"])
        expected = {"kmeans": ["gateway", "scheduler", "worker"], "kmeans-rabbitmq": ["rabbitmq"]}
        assert names == expected[monitor["metadata"]["name"]]
        for name in names:
            ports = {port["name"] for port in templates[name]["spec"]["containers"][0]["ports"]}
            assert {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]} <= ports


def test_where_alerts_look_at_rabbitmq_its_queues_are_scraped(objects: Objects) -> None:
    asked = [
        endpoint
        for monitor in of_kind(objects, "PodMonitor")
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
        if endpoint["port"] == "exporter"
    ]
    asked += [config["spec"] for config in of_kind(objects, "ScrapeConfig")]
    alerts = "rabbitmq_detailed_" in str(of_kind(objects, "PrometheusRule"))
    assert len(asked) == alerts, "alerts that look at nothing, or figures that nobody looks at"
    for each in asked:
        assert each.get("path", each.get("metricsPath")) == PATH
        assert set(each["params"]["family"]) == set(SERIES)


def test_that_nobody_scrapes_the_queues_is_an_alert_itself(rendered: Rendered) -> None:
    (rules,) = (
        each
        for each in of_kind(rendered("production"), "PrometheusRule")
        if each["metadata"]["name"] == "kmeans-queue"
    )
    expressions = {
        rule["alert"]: rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]
    }
    unseen = expressions.pop("KMeansQueuesUnseen")
    looked_at = {name for text in expressions.values() for name in re.findall(r"rabbitmq_\w+", text)}
    assert looked_at <= set().union(*SERIES.values()), "what RabbitMQ does not tell"
    # The messages that are ready come with all messages, of the same family.
    for name in looked_at - {"rabbitmq_detailed_queue_messages_ready"}:
        assert f"absent({name}{{" in unseen
