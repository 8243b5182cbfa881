"""`make bench-api`: one gateway under load; at most four minutes.

    python -m bench.api

Clients and gateway share the machine, so its two cores carry both sides. Figures go to
bench/results/api.json as well.
"""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

from kmeans.v1 import job_pb2

from bench.api import calls, uploads, watches
from bench.api.gateway_process import process
from bench.job import make_table
from kmeans_client import Client

__all__ = ["main"]

_RESULTS = Path(__file__).parent.parent / "results" / "api.json"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kmeans-bench-") as folder:
        gateway_folder = Path(folder, "gateway")
        gateway_folder.mkdir()
        with (
            process("bench.api.serve_gateway", str(gateway_folder)) as gateway,
            process("bench.api.serve_bare", folder) as bare,
        ):
            with Client(gateway.target) as client:
                dataset = client.upload_dataset(io.BytesIO(make_table(3232)), display_name="bench.csv")
                job = client.create_job(job_pb2.JobSpec(dataset=dataset.name)).job.name
            results = {}
            print("GetJob, each client on a connection of its own")
            results["calls"] = calls.measure(gateway, job)
            for row in results["calls"]:
                print("  " + ", ".join(f"{name} {_shown(value)}" for name, value in row.items()), flush=True)
            print("Watches of one job")
            results["watches"] = watches.measure(gateway, gateway_folder, job)
            _print(results["watches"])
            print("Upload of a CSV")
            results["uploads"] = uploads.measure(gateway, bare)
            _print(results["uploads"])
    _RESULTS.parent.mkdir(exist_ok=True)
    _RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def _print(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        print(f"  {name:<36} {_shown(value):>10}", flush=True)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


if __name__ == "__main__":
    main()
