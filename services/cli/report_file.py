"""The report of a job as one HTML file."""

from __future__ import annotations

from pathlib import Path

from kmeans_client import Client
from services.cli.files import writing

__all__ = ["write_report"]


def write_report(client: Client, job: str, min_members: int, output: Path) -> None:
    """Write the report of `jobs/{job}`; what was in the file stays until all of it is there."""
    # Imported late: only this needs Plotly.
    from ui.report.html import render
    from ui.report.material import gather

    text = render(gather(client, job, min_members))
    with writing(output) as path:
        path.write_text(text, encoding="utf-8")
