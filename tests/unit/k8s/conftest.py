from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from tests.manifests.rendering import K8S, OVERLAYS, Object, render

Rendered = tuple[Object, ...]


@cache
def _rendered(overlay: str) -> Rendered:
    return render(K8S / "overlays" / overlay)


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def objects(overlay: str) -> Rendered:
    """Every object of one overlay; rendered once a session."""
    return _rendered(overlay)


@pytest.fixture
def rendered() -> Callable[[str], Rendered]:
    return _rendered
