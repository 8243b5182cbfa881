"""A gateway in a process of its own with something in it, and what every answer of it must be."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from kmeans.v1 import job_pb2

from bench.api.gateway_process import Process
from kmeans_client import Client
from services.backends.open import open_store
from services.core.clock import utc_now
from services.core.planning import plan_tasks
from services.core.tasks import TaskOutcome, TaskState
from services.gateway.statuses import DOMAIN
from tests.public_api import public_methods

__all__ = ["METHODS", "World"]

METHODS: list[MethodDescriptor] = public_methods()
# These change what they name: each call gets a victim of its own.
_CHANGING = {"DeleteDataset", "DeleteJob", "CancelJob", "RetryJob"}
# What a request that only says strange things may be answered with.
_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_REASON = re.compile(r"[A-Z][A-Z0-9_]*[A-Z0-9]")
_TIMEOUT_SECONDS = 60.0
# Stands for the token of a listing's second page.
_PAGE = "@{}-page"


class World:
    """Asks, and judges what comes back."""

    def __init__(self, process: Process, folder: Path, ids: dict[str, str]) -> None:
        """`ids` are of a job that has ended and of datasets, by their placeholders."""
        self.process = process
        self._folder = folder
        self._store = open_store(f"sqlite://{folder}/jobs.sqlite")
        self.client = Client(process.target, timeout_seconds=_TIMEOUT_SECONDS)
        self._channel = grpc.insecure_channel(process.target, options=[("grpc.enable_http_proxy", 0)])
        self._ids = dict(ids)
        self._datasets = self._listed()
        self._warm_up()
        # What a gateway that has served a little has. What one file leaves behind counts for the next.
        self._idle_bytes = process.resident_bytes()
        self._ids["@pending"] = self._job()
        self._ids["@cancelled"] = self._job()
        self.client.cancel_job(f"jobs/{self._ids['@cancelled']}")
        for method in METHODS:
            if "page_token" in method.input_type.fields_by_name:
                self._ids[_PAGE.format(method.name.removeprefix("List").lower())] = self._page_token(method)

    def close(self) -> None:
        self._channel.close()
        self.client.close()
        self._store.close()

    def forget_peak(self) -> None:
        self.process.forget_peak()

    def grown_bytes(self) -> int:
        """The most memory since `forget_peak`, above that of a gateway to which nothing has happened yet."""
        return self.process.peak_bytes() - self._idle_bytes

    def add_dataset(self) -> None:
        dataset = self.client.upload_dataset(io.BytesIO(b"a,b\n1,x\n"), display_name="another.csv")
        self._datasets.add(dataset.name)

    def delete(self, dataset: str) -> None:
        self.client.delete_dataset(dataset)
        self._datasets.discard(dataset)

    def call(self, method: MethodDescriptor, requests: list[Message]) -> list[Message] | grpc.RpcError:
        """The answers, of an endless watch the first; or the error, which is one that may be."""
        ids = self._victims() if method.name in _CHANGING else self._ids
        for request in requests:
            _resolve(request, ids)
        return self.send(method, requests)

    def send(
        self, method: MethodDescriptor, requests: Iterable[Message | bytes]
    ) -> list[Message] | grpc.RpcError:
        answer = message_factory.GetMessageClass(method.output_type)
        arity = (
            ("stream" if method.client_streaming else "unary")
            + "_"
            + ("stream" if method.server_streaming else "unary")
        )
        call = getattr(self._channel, arity)(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=_bytes,
            response_deserializer=answer.FromString,
            _registered_method=False,
        )
        given: Any = iter(requests) if method.client_streaming else next(iter(requests))
        try:
            if not method.server_streaming:
                answered = call(given, timeout=_TIMEOUT_SECONDS)
                if method.name == "UploadDataset":
                    self._datasets.add(answered.name)
                elif method.name == "DeleteDataset":
                    self._datasets.discard(given.name)
                return [answered]
            answers = call(given, timeout=_TIMEOUT_SECONDS)
            taken = list(itertools.islice(answers, 1) if method.name == "WatchJob" else answers)
            answers.cancel()
            return taken
        except grpc.RpcError as error:
            check_refusal(error)
            return error

    def check_nothing_left(self) -> None:
        """There are the datasets that were answered with and not deleted, two objects of each, and no more.

        Whatever was refused has left no dataset, no object and no temporary file.
        """
        assert self._listed() == self._datasets
        objects = self._folder / "objects"
        files = [path.relative_to(objects) for path in objects.rglob("*") if path.is_file()]
        assert {str(path.parent) for path in files} == self._datasets, files
        assert len(files) == 2 * len(self._datasets), files
        assert list((self._folder / "tmp").iterdir()) == []

    def listing(self, method: MethodDescriptor) -> dict[str, str]:
        """The fields of a request to list what is there in plenty."""
        if "parent" in method.input_type.fields_by_name:
            return {"parent": f"jobs/{self._ids['@ended']}"}
        return {}

    def _page_token(self, method: MethodDescriptor) -> str:
        request = message_factory.GetMessageClass(method.input_type)(**self.listing(method), page_size=1)
        answer = self.send(method, [request])
        assert not isinstance(answer, grpc.RpcError), answer
        token: str = getattr(answer[0], "next_page_token")  # noqa: B009 - messages of any method
        return token

    def _listed(self) -> set[str]:
        return {dataset.name for dataset in self.client.list_datasets()}

    def _warm_up(self) -> None:
        """Have the gateway load what it parses with."""
        dataset = self.client.upload_dataset(io.BytesIO(b"a,b\n1,x\n"), display_name="warm.csv")
        self.client.delete_dataset(dataset.name)

    def _job(self) -> str:
        spec = job_pb2.JobSpec(dataset=f"datasets/{self._ids['@numbers']}", max_k=2, n_experiments=1)
        return self.client.create_job(spec).job.name.removeprefix("jobs/")

    def _victims(self) -> dict[str, str]:
        """Ids of jobs and datasets that nobody else needs."""
        ended = self._job()
        keys = list(plan_tasks(self._store.get_job(ended)))
        self._store.start_job(ended, keys, utc_now())
        self._store.claim_tasks(keys, "attempt", utc_now(), utc_now())
        outcomes = [TaskOutcome(key, TaskState.ERROR, 0.1, error="It was a bad day.") for key in keys]
        self._store.finish_tasks("attempt", outcomes, utc_now())
        self._store.close_job(ended, utc_now())
        return self._ids | {"@ended": ended, "@pending": self._job()}


def check_refusal(error: grpc.RpcError) -> str:
    """Fail unless this is a status with a reason that tells a caller what to do; return the reason."""
    assert error.code() in _CODES, f"{error.code()}: {error.details()}"
    status = rpc_status.from_call(error)
    assert status is not None, f"{error.code()} without details: {error.details()}"
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details), status
    assert info.domain == DOMAIN
    assert _REASON.fullmatch(info.reason), info.reason
    assert str(error.details()).strip()
    return str(info.reason)


def _bytes(request: Message | bytes) -> bytes:
    return request if isinstance(request, bytes) else request.SerializeToString()


def _resolve(message: Message, ids: dict[str, str]) -> None:
    for field, value in message.ListFields():
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            for part in value if field.is_repeated else [value]:
                _resolve(part, ids)
        elif field.type == FieldDescriptor.TYPE_STRING:
            if field.is_repeated:
                value[:] = [_named(text, ids) for text in value]
            else:
                setattr(message, field.name, _named(value, ids))


def _named(text: str, ids: dict[str, str]) -> str:
    for placeholder, real in ids.items():
        text = text.replace(placeholder, real)
    return text
