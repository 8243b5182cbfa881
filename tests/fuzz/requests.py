"""Requests that hypothesis makes: any message of a proto, by reflection, with names that lead somewhere."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

__all__ = ["altered_tokens", "messages"]

# Stand for ids that the service makes; `World.resolve` puts the real ones in.
_JOBS = ["jobs/@ended", "jobs/@pending", "jobs/@cancelled"]
_DATASETS = ["datasets/@numbers", "datasets/@texts"]
_TASKS = [
    f"{job}/tasks/{task}"
    for job in _JOBS
    for task in ("0-1-full-untied", "0-2-spher-tied", "1-2-diag-tied", "0-99-full-tied", "9-1-diag-untied")
]
_BROKEN_NAMES = [
    "",
    "jobs/",
    "jobs",
    "datasets/",
    "jobs/none",
    "datasets/none",
    "jobs/../jobs/@ended",
    "jobs/@ended/",
    "/jobs/@ended",
    "jobs/@ended/tasks/",
    "jobs/@ended/tasks/0-1",
    "jobs/@ended/tasks/-1-1-full-untied",
    "jobs/@ended/tasks/0-1-FULL-untied",
    "jobs/@ended/tasks/99999999999999999999-1-full-untied",
    "jobs/@ended/tasks/٣-1-full-untied",
    "datasets/@numbers/tasks/0-1-full-untied",
    "datasets/" + "a" * 5000,
    "jobs/\x00",
    "jobs/%2e%2e",
    "jobs/@ended\n",
]
# Fields, by name, whose texts mean something to the service.
_TEXTS: dict[str, st.SearchStrategy[str]] = {
    "dataset": st.sampled_from(_DATASETS + _BROKEN_NAMES),
    "parent": st.sampled_from(_JOBS + _BROKEN_NAMES),
    "name": st.sampled_from(_JOBS + _DATASETS + _TASKS + _BROKEN_NAMES),
    "task": st.sampled_from(_TASKS + _BROKEN_NAMES),
    "tasks": st.sampled_from(_TASKS + _BROKEN_NAMES),
    "columns": st.sampled_from(["a", "b", "longitude", "farm", "flat", "A", "", " a", "\x00"]),
    "request_id": st.sampled_from(["", str(uuid.UUID(int=7)), str(uuid.UUID(int=8)).upper(), "{7}", "nil"]),
    "page_token": st.sampled_from(
        [
            "",
            "@datasets-page",
            "@jobs-page",
            "@tasks-page",
            "AAAA",
            "===",
            "e30",
            "bnVsbA",
            "W10",
            "\x00",
            "ü",
        ]
    ),
    "sha256": st.sampled_from(["", "0" * 64, "F" * 64, "x"]),
}
_TEXT = st.text(max_size=40) | st.sampled_from(
    ["x" * 300, "\x00", "ﬀ", "🙂" * 100, "'; DROP TABLE jobs", "%s"]
)
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_NUMBERS = st.floats() | st.sampled_from([0.0, 0.5, 1.0, 1e-300, 1e300, -1.0, 3.0])


def messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    """Any message of this type; each field is left out, what the service expects, or far from it."""
    kind = message_factory.GetMessageClass(descriptor)
    fields = {
        field.name: _repeated(field) if field.is_repeated else _single(field) for field in descriptor.fields
    }
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: kind(**_one_of_each(kind, values)))


_KEYS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["0001-01-01T00:00:00+00:00", "2026-13-45T99:00:00", "9999-12-31T23:59:59", "\x00"])
)
_JSON = st.recursive(_KEYS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner))


def altered_tokens(token: str) -> st.SearchStrategy[str]:
    """A page token that the service made, after what a client may do to it: of its listing, but elsewhere."""
    made = json.loads(base64.urlsafe_b64decode(token))
    last = list(made["after"])
    places = st.sampled_from(range(len(last)))
    one_other = st.tuples(places, _KEYS).map(lambda it: [*last[: it[0]], it[1], *last[it[0] + 1 :]])
    of_another_length = st.integers(0, len(last) + 2).map(lambda length: (last * 3)[:length])
    after = one_other | of_another_length | st.lists(_KEYS, max_size=4) | _JSON
    return after.map(lambda it: _token({**made, "after": it})) | _JSON.map(_token) | _damaged(token)


def _token(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def _damaged(token: str) -> st.SearchStrategy[str]:
    places = st.integers(0, len(token) - 1)
    return st.tuples(places, st.sampled_from("Aa0-_=+ ")).map(
        lambda it: token[: it[0]] + it[1] + token[it[0] + 1 :]
    ) | places.map(lambda length: token[:length])


def _repeated(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    return st.lists(_single(field), max_size=6) | st.lists(_single(field), min_size=1, max_size=1).map(
        lambda items: items * 300
    )


def _single(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        return messages(field.message_type)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return _enum(field.enum_type)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if kind in _INTEGERS:
        lowest, highest = _INTEGERS[kind]
        return st.integers(max(lowest, -2), 12) | st.integers(lowest, highest)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return st.binary(max_size=200)
        return _TEXTS.get(field.name, _TEXT) | _TEXT
    return _NUMBERS


def _enum(kind: EnumDescriptor) -> st.SearchStrategy[int]:
    known = st.sampled_from([value.number for value in kind.values])
    return known | known | st.sampled_from([-1, 99, 2**31 - 1, -(2**31)])


def _one_of_each(kind: type[Message], values: dict[str, Any]) -> dict[str, Any]:
    """Of fields that exclude each other, the last; the constructor takes no two."""
    for group in kind.DESCRIPTOR.oneofs:
        present = [field.name for field in group.fields if field.name in values]
        for name in present[:-1]:
            del values[name]
    return values
