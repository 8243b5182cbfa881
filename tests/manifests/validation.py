"""Validation: objects against the schemas of Kubernetes, of KEDA and of the Prometheus operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import kubernetes_validate
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as monitoring
from cloudcoil.models.prometheus_operator import v1alpha1 as scraping
from pydantic import BaseModel, ValidationError

from tests.manifests.rendering import Object

__all__ = ["NEWEST", "OLDEST", "complaints"]

# The first in which every field that the manifests use is on by default (a preStop hook that sleeps).
OLDEST = "1.30"
NEWEST = ".".join(kubernetes_validate.latest_version().split(".")[:2])

_MODELS: Mapping[tuple[str, str], type[BaseModel]] = {
    ("keda.sh/v1alpha1", "ScaledObject"): keda.ScaledObject,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): keda.TriggerAuthentication,
    ("monitoring.coreos.com/v1", "PodMonitor"): monitoring.PodMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): monitoring.PrometheusRule,
    ("monitoring.coreos.com/v1alpha1", "ScrapeConfig"): scraping.ScrapeConfig,
}


def complaints(objects: Sequence[Object], version: str) -> Iterator[str]:
    """A sentence for each object that Kubernetes of this version, or an operator, would not take."""
    for each in objects:
        where = f"{each['kind']} {each['metadata']['name']}"
        model = _MODELS.get((each["apiVersion"], each["kind"]))
        if model is not None:
            yield from (f"{where}: {problem}" for problem in _model_complaints(each, model))
            continue
        try:
            kubernetes_validate.validate(each, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = "/".join(str(step) for step in error.path)
            yield f"{where}: {error.message} (at {path or 'the top'}, Kubernetes {version})"
        except kubernetes_validate.SchemaNotFoundError:
            yield f"{where}: Kubernetes {version} has no {each['apiVersion']} {each['kind']}"


def _model_complaints(each: Object, model: type[BaseModel]) -> Iterator[str]:
    try:
        read = model.model_validate(each).model_dump(mode="json", by_alias=True, exclude_none=True)
    except ValidationError as error:
        yield from (f"{problem['msg']} (at {problem['loc']})" for problem in error.errors())
        return
    # The models pass over what they do not know; what they forget is a field that is misspelt.
    yield from (f"there is no field {path}" for path in _forgotten(each, read, ""))


def _forgotten(given: Any, read: Any, path: str) -> Iterator[str]:
    if isinstance(given, Mapping):
        for name, value in given.items():
            if not isinstance(read, Mapping) or name not in read:
                yield f"{path}/{name}"
            else:
                yield from _forgotten(value, read[name], f"{path}/{name}")
    elif isinstance(given, list):
        for place, (value, same) in enumerate(zip(given, read, strict=True)):
            yield from _forgotten(value, same, f"{path}/{place}")
