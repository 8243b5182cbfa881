"""Arrows: who may open a connection to whom, as the NetworkPolicies of a rendering say.

Follows https://kubernetes.io/docs/concepts/services-networking/network-policies/: policies add up; a pod that
a policy selects for a direction may do in it what some policy allows and nothing else; a connection needs its
source's leave to go and its destination's to come. A kubelet's probes, and a pod's way to itself, need none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from tests.manifests.rendering import Object, of_kind, pods

__all__ = ["Arrow", "Place", "arrows", "matches", "our_places"]

_NAMESPACE_NAME = "kubernetes.io/metadata.name"

# Source, destination, port.
Arrow = tuple[str, str, int]


@dataclass(frozen=True)
class Place:
    """Where a connection begins or ends: a pod of ours, or of another namespace, or outside of the cluster.

    Attributes:
        labels: of the pod; namespace_labels those of its namespace. Neither: outside of the cluster.
        ports: by name.
        address: of what is not a pod; of one without, every block of addresses is taken to hold it.
    """

    name: str
    ports: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    is_ours: bool = False


def our_places(objects: Sequence[Object]) -> tuple[Place, ...]:
    """A place for everything of the rendering that runs pods."""
    return tuple(
        Place(
            name,
            {
                port["name"]: port["containerPort"]
                for container in template["spec"]["containers"]
                for port in container.get("ports") or ()
            },
            template["metadata"]["labels"],
            {_NAMESPACE_NAME: "kmeans"},
            is_ours=True,
        )
        for name, template in pods(objects)
    )


def arrows(objects: Sequence[Object], others: Iterable[Place]) -> set[Arrow]:
    """Every connection that is admitted between two places, at least one of them ours."""
    ours = our_places(objects)
    everywhere = (*ours, *others)
    policies = of_kind(objects, "NetworkPolicy")
    return {
        (source.name, destination.name, port)
        for source, destination in itertools.permutations(everywhere, 2)
        if source.is_ours or destination.is_ours
        for port in destination.ports.values()
        if _may(policies, source, destination, port, "Egress")
        and _may(policies, destination, source, port, "Ingress")
    }


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects these labels; an empty one selects everything."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], expression.get("values") or ()
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[expression["operator"]]
        if not holds:
            return False
    return True


def _may(policies: Sequence[Object], one: Place, other: Place, port: int, direction: str) -> bool:
    """Whether `one` gets leave in this direction for a connection with `other` on the destination's port."""
    if not one.is_ours:
        return True
    selecting = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"] and matches(policy["spec"]["podSelector"], one.labels)
    ]
    destination = other if direction == "Egress" else one
    return not selecting or any(
        _names_port(rule, destination, port) and _names_peer(rule, other, direction)
        for spec in selecting
        for rule in _rules(spec, direction)
    )


def _rules(spec: Mapping[str, Any], direction: str) -> Iterator[Mapping[str, Any]]:
    yield from spec.get(direction.lower()) or ()


def _names_port(rule: Mapping[str, Any], destination: Place, port: int) -> bool:
    ports = rule.get("ports") or ()
    return not ports or any(
        port == (destination.ports.get(each["port"]) if isinstance(each["port"], str) else each["port"])
        for each in ports
    )


def _names_peer(rule: Mapping[str, Any], peer: Place, direction: str) -> bool:
    peers = rule.get("to" if direction == "Egress" else "from") or ()
    return not peers or any(_is_peer(each, peer) for each in peers)


def _is_peer(described: Mapping[str, Any], peer: Place) -> bool:
    if "ipBlock" in described:
        # Whether pods count as addresses, too, is left to the network plug-in: the careful reading is that
        # they do.
        return not peer.address or _is_within(described["ipBlock"], peer.address)
    if "namespaceSelector" in described:
        in_namespace = bool(peer.namespace_labels) and matches(
            described["namespaceSelector"], peer.namespace_labels
        )
    else:
        in_namespace = peer.is_ours
    return in_namespace and matches(described.get("podSelector") or {}, peer.labels)


def _is_within(block: Mapping[str, Any], address: str) -> bool:
    found = ip_address(address)
    return found in ip_network(block["cidr"]) and not any(
        found in ip_network(left_out) for left_out in block.get("except") or ()
    )
