"""What metrics and traces cost: a default job (bench.job) with and without them, in turns, as a ratio.

    python -m bench.telemetry [ROUNDS]

Seconds of processor time, which other work on the machine disturbs less than those on the clock. The spans of
a traced job are made, batched and thrown away: sending them is the exporter's, and has a thread of its own.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kmeans.v1 import job_pb2
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from bench.job import make_table
from kmeans_client import Client
from services.cli.logs import configure_logs
from services.core.settings import Settings, read_settings
from services.embedded import service
from services.embedded.service import EmbeddedService
from services.telemetry.observation import Observation
from services.telemetry.telemetry import Telemetry
from services.telemetry.tracing import Tracing

__all__ = ["main"]

_ROWS = 3232
_ROUNDS = 5


class _Nowhere(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def _seconds(observation: Observation | None) -> float:
    """Processor time of a default job from its upload to its end."""

    @contextmanager
    def open_telemetry(_service: str, _settings: Settings) -> Iterator[Telemetry]:
        yield Telemetry(observation)

    service.open_telemetry = open_telemetry  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(prefix="kmeans-bench-") as folder:
        settings = read_settings(home=Path(folder) / "home")
        with EmbeddedService(settings) as embedded, Client(embedded.start("127.0.0.1:0")) as client:
            client.wait_until_ready(30.0)
            began = time.process_time()
            dataset = client.upload_dataset(io.BytesIO(make_table(_ROWS)), display_name="bench.csv")
            job = client.create_job(job_pb2.JobSpec(dataset=dataset.name)).job
            for _ in client.watch_job(job.name, job_only=True):
                pass
            return time.process_time() - began


def _traced() -> Tracing:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
    return Tracing(provider)


def main() -> None:
    """Print the ratios of the medians."""
    configure_logs("error", "text")
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else _ROUNDS
    found: dict[str, list[float]] = {"without": [], "metrics": [], "metrics and traces": []}
    _seconds(None)
    for _ in range(rounds):
        found["without"].append(_seconds(None))
        found["metrics"].append(_seconds(Observation("embedded")))
        found["metrics and traces"].append(_seconds(Observation("embedded", _traced())))
    base = statistics.median(found["without"])
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        print(f"{name}: {middle:.2f} s of processor time, {middle / base:.3f} times that without")


if __name__ == "__main__":
    main()
