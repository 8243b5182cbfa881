"""What examples/clients/grpcurl needs of grpcurl, which the tests cannot install: its flags and its print.

Run as `grpcurl FLAGS HOST:PORT SERVICE/METHOD`. It goes through a real channel and protobuf's own JSON, so
that a payload or field that grpcurl would refuse is refused here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # noqa: F401 - known to the JSON of a status
from grpc_status import rpc_status

from tests.public_api import public_methods


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-plaintext", action="store_true")
    parser.add_argument("-cacert", type=Path)
    parser.add_argument("-expand-headers", action="store_true")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-max-time", type=float, required=True)
    parser.add_argument("-d", required=True)
    parser.add_argument("target")
    parser.add_argument("method")
    asked = parser.parse_args()
    method = next(
        each
        for each in public_methods()
        if f"{each.containing_service.full_name}/{each.name}" == asked.method
    )
    request_type = message_factory.GetMessageClass(method.input_type)
    answer_type = message_factory.GetMessageClass(method.output_type)
    metadata = []
    for header in asked.H:
        name, _, value = header.partition(": ")
        metadata.append((name, os.path.expandvars(value) if asked.expand_headers else value))
    options = [("grpc.enable_http_proxy", 0)]
    if asked.plaintext:
        channel = grpc.insecure_channel(asked.target, options)
    else:
        credentials = grpc.ssl_channel_credentials(asked.cacert.read_bytes())
        channel = grpc.secure_channel(asked.target, credentials, options)
    stub: Any = channel.stream_stream(
        f"/{asked.method}", lambda message: message.SerializeToString(), answer_type.FromString
    )
    requests = (json_format.ParseDict(one, request_type()) for one in objects(text_of(asked.d)))
    try:
        for answer in stub(requests, metadata=metadata, timeout=asked.max_time):
            print(text(answer), flush=True)
    except grpc.RpcError as error:
        print(
            "ERROR:",
            f"  Code: {error.code().name}",
            f"  Message: {error.details()}",
            sep="\n",
            file=sys.stderr,
        )
        status = rpc_status.from_call(error)
        for number, detail in enumerate(status.details if status is not None else (), start=1):
            one = json.dumps(json_format.MessageToDict(detail), separators=(",", ":"))
            print(f"  {number})\t{one}", file=sys.stderr)
        raise SystemExit(64 + error.code().value[0]) from None


def text_of(data: str) -> str:
    return sys.stdin.read() if data == "@" else data


def objects(content: str) -> Iterator[dict[str, Any]]:
    """One JSON object after the other."""
    decoder, position = json.JSONDecoder(), 0
    while content[position:].strip():
        position += len(content[position:]) - len(content[position:].lstrip())
        one, position = decoder.raw_decode(content, position)
        yield one


def text(answer: Message) -> str:
    return json_format.MessageToJson(answer, preserving_proto_field_name=True, indent=2)


if __name__ == "__main__":
    main()
