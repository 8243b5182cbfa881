"""The NetworkPolicies admit each arrow of the architecture, and no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.manifests.arrows import Arrow, Place, arrows, our_places
from tests.manifests.rendering import OVERLAYS, Object

GRPC, HEALTH, METRICS, HTTP, DNS = 50051, 50052, 9464, 8501, 53
SERVICES = ("gateway", "scheduler", "worker")


def other(name: str, namespace: str, ports: dict[str, int] | None = None, **labels: str) -> Place:
    return Place(name, ports or {}, labels, {"kubernetes.io/metadata.name": namespace})


DNS_SERVER = other("dns", "kube-system", {"dns": DNS, "metrics": METRICS}, **{"k8s-app": "kube-dns"})
CLIENT = Place("client", {}, {}, {"kubernetes.io/metadata.name": "science", "kmeans-clients": "true"})
# What a careless or hostile neighbour, and a captured pod of ours, would try.
STRANGERS = (
    other("stranger", "elsewhere", {"web": 443, "grpc": GRPC}, **{"app.kubernetes.io/name": "kmeans"}),
    other("node-agent", "kube-system", {"web": 443}),
    Place("internet", {"web": 80, "mail": 25}, address="203.0.113.80"),
    # Whoever reaches it has the rights of the node.
    Place("metadata", {"web": 80, "tls": 443}, address="169.254.169.254"),
    Place("metadata over IPv6", {"web": 80, "tls": 443}, address="fd00:ec2::254"),
    Place("another metadata over IPv6", {"web": 80, "tls": 443}, address="fd20:ce::254"),
    Place("link-local over IPv6", {"web": 80, "tls": 443}, address="fe80::1"),
)
EXTERNAL = Place("servers", {"mongodb": 27017, "amqps": 5671, "s3": 443, "amqp": 5672}, address="203.0.113.7")
EXTERNAL_6 = Place("servers over IPv6", EXTERNAL.ports, address="2001:db8::7")
INGRESS = other("ingress", "ingress-nginx")
PROMETHEUS = other("prometheus", "monitoring", {"web": 9090})
KEDA = other("keda", "keda", {"metrics": 8080}, app="keda-operator")
OTHERS = (DNS_SERVER, CLIENT, INGRESS, PROMETHEUS, KEDA, EXTERNAL, EXTERNAL_6, *STRANGERS)

BASE: set[Arrow] = {("ui", "gateway", GRPC), ("client", "gateway", GRPC)}
TO_OWN_SERVERS: set[Arrow] = {
    (service, *server)
    for service in SERVICES
    for server in (("mongodb", 27017), ("rabbitmq", 5672), ("s3", 8333))
}
TO_EXTERNAL_SERVERS: set[Arrow] = {
    (service, servers.name, port)
    for service in SERVICES
    for servers in (EXTERNAL, EXTERNAL_6)
    for port in (27017, 5671, 443)
}
# Where addresses are not known, S3's port is open towards everything that has it.
TO_ANY_HTTPS: set[Arrow] = {
    (service, place, 443) for service in SERVICES for place in ("stranger", "node-agent")
}
FROM_INGRESS: set[Arrow] = {("ingress", "gateway", GRPC), ("ingress", "ui", HTTP)}
FROM_PROMETHEUS: set[Arrow] = {("prometheus", service, METRICS) for service in SERVICES}

EXPECTED: dict[str, set[Arrow]] = {
    "local": BASE | TO_OWN_SERVERS,
    "local-keda": BASE | TO_OWN_SERVERS | {("keda", "rabbitmq", 15672)},
    "local-prometheus": BASE
    | TO_OWN_SERVERS
    | FROM_PROMETHEUS
    | {("keda", "rabbitmq", 15672), ("prometheus", "rabbitmq", 15692)},
    "production": BASE | TO_EXTERNAL_SERVERS | TO_ANY_HTTPS | FROM_INGRESS | FROM_PROMETHEUS,
}

Rendered = Callable[[str], tuple[Object, ...]]


def test_every_overlay_has_its_table() -> None:
    assert set(EXPECTED) == set(OVERLAYS)


def test_the_arrows_are_those_of_the_architecture(objects: tuple[Object, ...], overlay: str) -> None:
    to_dns = {(place.name, "dns", DNS) for place in our_places(objects)}
    assert arrows(objects, OTHERS) == EXPECTED[overlay] | to_dns


@pytest.mark.parametrize(
    "dropped", ["nothing-by-default", "gateway-from-ui-and-clients", "rabbitmq-from-services"]
)
def test_a_policy_less_is_noticed(rendered: Rendered, dropped: str) -> None:
    objects = rendered("local")
    fewer = tuple(each for each in objects if each["metadata"]["name"] != dropped)
    assert len(fewer) == len(objects) - 1
    assert arrows(fewer, OTHERS) != arrows(objects, OTHERS)
