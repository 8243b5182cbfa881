"""Predictions: batches of rows as a stream of messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kmeans.v1 import job_service_pb2

__all__ = ["MAX_PREDICT_VALUES", "PredictionStream"]

MAX_PREDICT_VALUES = 393_216
"""Values in one batch at most: 3 MiB."""


class PredictionStream:
    """The messages of one prediction; remembers what making the batches raised.

    gRPC reads it on a thread of its own and would tell the caller only that the stream broke.
    """

    def __init__(self, header: job_service_pb2.PredictHeader, batches: Iterable[Sequence[float]]) -> None:
        """Send this header, then each batch as one message."""
        self.failure: Exception | None = None
        self._header = header
        self._batches = batches

    def __iter__(self) -> Iterator[job_service_pb2.PredictRequest]:
        """The header, then the batches; ends where making one fails, which is then the `failure`."""
        yield job_service_pb2.PredictRequest(header=self._header)
        try:
            for values in self._batches:
                yield job_service_pb2.PredictRequest(rows=job_service_pb2.PredictRows(values=values))
        except Exception as error:  # noqa: BLE001 - kept for the caller's thread, which raises it
            self.failure = error
