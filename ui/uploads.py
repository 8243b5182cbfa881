"""Uploads that go on while the page is drawn again: one thread each, looked at until they end."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import BinaryIO

from kmeans.v1 import dataset_pb2

from kmeans_client import Client

__all__ = ["Upload"]


@dataclass(slots=True)
class Upload:
    """One file on its way to the service.

    Attributes:
        file_id: of the file in the browser, to know it again.
        name: the file's name.
        total_bytes: its size.
        sent_bytes: handed to the network so far.
        future: the dataset, or what went wrong.
    """

    file_id: str
    name: str
    total_bytes: int
    sent_bytes: int = 0
    future: Future[dataset_pb2.Dataset] = field(default_factory=Future)

    @property
    def share(self) -> float:
        """Share of the bytes that are sent, 0 to 1."""
        return min(1.0, self.sent_bytes / self.total_bytes) if self.total_bytes else 1.0

    @property
    def is_sent(self) -> bool:
        """Whether every byte is out, and the service is reading the table."""
        return self.sent_bytes >= self.total_bytes

    def start(self, client: Client, source: BinaryIO, request_id: str) -> None:
        """Send what is left in `source`, in pieces, on a thread of its own."""

        def note(sent_bytes: int, total_bytes: int | None) -> None:
            self.sent_bytes = sent_bytes

        def send() -> None:
            try:
                dataset = client.upload_dataset(
                    source, display_name=self.name, request_id=request_id, progress=note
                )
            except Exception as error:  # noqa: BLE001 (told to whoever asks for the dataset)
                self.future.set_exception(error)
            else:
                self.future.set_result(dataset)

        threading.Thread(target=send, name=f"upload {self.name}", daemon=True).start()
