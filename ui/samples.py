"""The tables that ship with the service, to try it with."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SAMPLES", "Sample", "sample_path", "sample_request_id"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A table, its title and what it is good for trying."""

    file: str
    title: str
    text: str


SAMPLES = (
    Sample(
        "soil_field.csv",
        "Soil survey",
        "3,013 places of a field: electrical conductivity at two depths, elevation, longitude and latitude.",
    ),
    Sample(
        "palmer_penguins.csv",
        "Penguins",
        "344 penguins of three species: bills, flippers and weights, with text columns and missing cells.",
    ),
    Sample(
        "wine.csv",
        "Wines",
        "178 wines of three cultivars, 13 measurements each: many columns, few rows.",
    ),
)

# Beside this package in a wheel, and in the checkout's own folder otherwise; `setup.py` copies them.
_FOLDERS = (Path(__file__).with_name("samples"), Path(__file__).parents[1] / "examples")
_REQUESTS = uuid.UUID("b0f7ab4e-2f0b-4d0e-9a51-5f3b8fb5f0b1")


def sample_path(sample: Sample) -> Path:
    """Where its file is.

    Raises:
        FileNotFoundError: it was not installed with the program.
    """
    for folder in _FOLDERS:
        if (path := folder / sample.file).is_file():
            return path
    raise FileNotFoundError(f"The sample table {sample.file} was not installed with the program.")


def sample_request_id(path: Path) -> str:
    """The UUID under which this table is uploaded, so that trying it twice gives one dataset."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return str(uuid.uuid5(_REQUESTS, f"{path.name}/{digest}"))
