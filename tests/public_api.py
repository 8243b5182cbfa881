"""The public API as it is: every method of every service under `kmeans.`, whichever file it is in."""

from __future__ import annotations

import importlib
from pathlib import Path

import kmeans
from google.protobuf.descriptor import MethodDescriptor

__all__ = ["public_methods"]


def public_methods() -> list[MethodDescriptor]:
    """From all generated modules there are, so that a new file of services is not forgotten."""
    return [
        method
        for module in sorted(_modules())
        for _, service in sorted(importlib.import_module(module).DESCRIPTOR.services_by_name.items())
        for method in service.methods
    ]


def _modules() -> set[str]:
    return {
        ".".join((kmeans.__name__, *file.relative_to(folder).with_suffix("").parts))
        for folder in kmeans.__path__
        for file in Path(folder).rglob("*_pb2.py")
    }
