"""Every RPC under requests that nobody would write: an answer, or a refusal with a reason."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.requests import messages
from tests.fuzz.world import METHODS, World, check_refusal

EXAMPLES = max(10, settings().max_examples // 8)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_any_request_is_answered_or_refused_with_a_reason(world: World, method: MethodDescriptor) -> None:
    stream = st.lists(messages(method.input_type), max_size=6)

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(stream if method.client_streaming else messages(method.input_type).map(lambda one: [one]))
    def throw(requests: list[object]) -> None:
        world.call(method, requests)  # type: ignore[arg-type]

    throw()
    world.check_nothing_left()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_bytes_that_are_no_message_are_refused(world: World, method: MethodDescriptor) -> None:
    for garbage in (b"\xff", b"\x0a\xff", b"\x0b\x0b\x0b"):
        refused = world.send(method, [garbage])
        assert isinstance(refused, grpc.RpcError)
        assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert check_refusal(refused) == "REQUEST_NOT_READABLE"
