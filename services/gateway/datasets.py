"""DatasetService: uploads tables and reads them back."""

# ruff: noqa: N802 - methods are named as the proto names its RPCs

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import grpc
import structlog
from google.protobuf import empty_pb2
from kmeans.v1 import dataset_pb2, dataset_service_pb2, dataset_service_pb2_grpc

from services.core.datasets import MAX_COLUMNS, Dataset, original_key, table_key
from services.core.errors import ServiceError
from services.core.ports import ObjectStore, Store
from services.core.validation import refuse, wrong_columns
from services.gateway.access import Access, check_still_wanted, owner_of
from services.gateway.errors import invalid_field
from services.gateway.messages import correlation_message, dataset_message, sample_message
from services.gateway.names import parse_dataset
from services.gateway.paging import MAX_MESSAGE_BYTES, fit_message, fit_page
from services.gateway.reads import Reads
from services.gateway.slots import Slots
from services.gateway.stored_tables import open_table
from services.gateway.upload_requests import UploadRequest
from services.gateway.uploads import Uploads
from services.tables import SampleTooLarge, sample_table

__all__ = ["DatasetServicer"]

_DEFAULT_SAMPLE_ROWS = 1000
_MAX_SAMPLE_ROWS = 20_000
_MAX_SAMPLE_CELLS = 250_000

_log = structlog.get_logger(__name__)


class DatasetServicer(dataset_service_pb2_grpc.DatasetServiceServicer):
    """See `protos/kmeans/v1/dataset_service.proto`, which documents every method."""

    def __init__(
        self, store: Store, objects: ObjectStore, uploads: Uploads, *, transfers: Slots, reads: Reads
    ) -> None:
        """Serve from this store; `transfers` bounds the uploads at once, `reads` what samples read."""
        self._store = store
        self._objects = objects
        self._uploads = uploads
        self._transfers = transfers
        self._reads = reads
        self._access = Access(store)

    def UploadDataset(
        self,
        request_iterator: Iterator[UploadRequest],
        context: grpc.ServicerContext,
    ) -> dataset_pb2.Dataset:
        """See the proto."""
        owner = owner_of(context)
        with self._transfers.take(owner):
            dataset = self._uploads.receive(owner, request_iterator, partial(check_still_wanted, context))
        return dataset_message(dataset)

    def GetDataset(
        self, request: dataset_service_pb2.GetDatasetRequest, context: grpc.ServicerContext
    ) -> dataset_pb2.Dataset:
        """See the proto."""
        return dataset_message(self._access.dataset(owner_of(context), parse_dataset(request.name)))

    def ListDatasets(
        self, request: dataset_service_pb2.ListDatasetsRequest, context: grpc.ServicerContext
    ) -> dataset_service_pb2.ListDatasetsResponse:
        """See the proto."""
        owner = owner_of(context)
        datasets, token = fit_page(
            partial(self._store.list_datasets, owner),
            dataset_message,
            request.page_size,
            request.page_token,
            listing=("datasets", owner),
        )
        return dataset_service_pb2.ListDatasetsResponse(datasets=datasets, next_page_token=token)

    def DeleteDataset(
        self, request: dataset_service_pb2.DeleteDatasetRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """See the proto."""
        dataset = self._access.dataset(owner_of(context), parse_dataset(request.name))
        # The record first: bytes without a record are removed as orphans, a record without bytes is broken.
        self._store.delete_dataset(dataset.id)
        for key in (original_key(dataset.id), table_key(dataset.id)):
            try:
                self._objects.delete(key)
            except ServiceError as error:
                _log.warning(
                    "object of a deleted dataset not removed",
                    dataset_id=dataset.id,
                    key=key,
                    reason=error.reason,
                )
        _log.info("dataset deleted", dataset_id=dataset.id)
        return empty_pb2.Empty()

    def SampleDataset(
        self, request: dataset_service_pb2.SampleDatasetRequest, context: grpc.ServicerContext
    ) -> dataset_service_pb2.SampleDatasetResponse:
        """See the proto."""
        dataset = self._access.dataset(owner_of(context), parse_dataset(request.name))
        if request.max_rows < 0:
            raise invalid_field("max_rows", f"max_rows is {request.max_rows}; it must be 0 or more.")
        if request.seed < 0:
            raise invalid_field("seed", f"seed is {request.seed}; it must be 0 or more.")
        columns = tuple(request.columns) or tuple(column.name for column in dataset.columns)
        _check_columns(columns, dataset)
        max_rows = min(
            request.max_rows or _DEFAULT_SAMPLE_ROWS,
            _MAX_SAMPLE_ROWS,
            max(1, _MAX_SAMPLE_CELLS // len(columns)),
        )

        turn = self._reads.turns(partial(check_still_wanted, context))

        def answer(size: int) -> dataset_service_pb2.SampleDatasetResponse | None:
            try:
                with open_table(self._objects, dataset.id) as source:
                    sample = sample_table(
                        source, columns, size, request.seed, max_text_bytes=MAX_MESSAGE_BYTES, turn=turn
                    )
            except SampleTooLarge:
                return None
            return sample_message(sample)

        return fit_message(answer, max_rows)

    def GetCorrelation(
        self, request: dataset_service_pb2.GetCorrelationRequest, context: grpc.ServicerContext
    ) -> dataset_pb2.Correlation:
        """See the proto."""
        dataset = self._access.dataset(owner_of(context), parse_dataset(request.name))
        return correlation_message(dataset.correlation)


def _check_columns(columns: tuple[str, ...], dataset: Dataset) -> None:
    if len(columns) > MAX_COLUMNS:
        raise invalid_field("columns", f"{len(columns)} columns are named; at most {MAX_COLUMNS} can be.")
    refuse([*wrong_columns("columns", columns, [column.name for column in dataset.columns])])
