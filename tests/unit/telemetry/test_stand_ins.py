"""What stands in for a port has the port's own methods."""

from __future__ import annotations

import inspect

import pytest

from services.core.ports import BundleConsumer, BundleDelivery, Store, TaskQueue
from services.telemetry.deliveries import ObservedConsumer, ObservedDelivery
from services.telemetry.queues import ObservedQueue
from services.telemetry.stores import ObservedStore


@pytest.mark.parametrize(
    ("stand_in", "port", "is_whole"),
    [
        (ObservedStore, Store, False),
        (ObservedQueue, TaskQueue, False),
        (ObservedConsumer, BundleConsumer, True),
        (ObservedDelivery, BundleDelivery, True),
    ],
)
def test_its_methods_are_those_of_the_port(stand_in: type, port: type, is_whole: bool) -> None:
    wanted = {name for name in dir(port) if not name.startswith("_")}
    there = {name for name in vars(stand_in) if not name.startswith("_")}
    assert there <= wanted
    assert not is_whole or there == wanted
    for name in there:
        method = getattr(port, name)
        if not isinstance(method, property):
            assert inspect.signature(getattr(stand_in, name)) == inspect.signature(method), name
