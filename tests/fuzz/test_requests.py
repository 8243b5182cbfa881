"""Every RPC under requests that nobody would write: an answer, or a refusal with a reason."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.requests import altered_tokens, messages
from tests.fuzz.world import METHODS, World, check_refusal

EXAMPLES = max(10, settings().max_examples // 8)
LISTINGS = [method for method in METHODS if "page_token" in method.input_type.fields_by_name]


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


@pytest.mark.parametrize("method", LISTINGS, ids=lambda method: method.name)
def test_a_page_token_that_was_altered_is_answered_or_refused(world: World, method: MethodDescriptor) -> None:
    world.add_dataset()  # requests before may have deleted others
    kind = message_factory.GetMessageClass(method.input_type)
    first = kind(**world.listing(method), page_size=1)
    (page,) = answered(world.send(method, [first]))
    second = kind(**world.listing(method), page_size=1, page_token=page.next_page_token)
    (following,) = answered(world.send(method, [second]))
    assert following != page  # what is altered is a token that leads somewhere

    @settings(max_examples=5 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(altered_tokens(page.next_page_token))
    def throw(token: str) -> None:
        world.send(method, [kind(**world.listing(method), page_token=token)])

    throw()


def answered(answer: list[Message] | grpc.RpcError) -> list[Any]:
    assert not isinstance(answer, grpc.RpcError), answer
    return answer
