"""The public API: what is documented is what is defined, and what was released stays."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RELEASED = ROOT / "protos" / "released" / "v1.binpb"


def breaking(protos: Path) -> subprocess.CompletedProcess[str]:
    buf = Path(sys.executable).parent / "buf"
    command = [buf, "breaking", protos, "--against", RELEASED]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("job.proto", "string failure = 12;", "string failure = 13;"),
        ("job.proto", "string failure = 12;", "string reason = 12;"),
        ("dataset_service.proto", "rpc GetDataset(", "rpc ReadDataset("),
        ("task.proto", "double bic = 2;", "float bic = 2;"),
    ],
)
def test_a_change_that_would_break_clients_is_found(
    tmp_path: Path, file: str, before: str, after: str
) -> None:
    protos = tmp_path / "protos"
    shutil.copytree(ROOT / "protos", protos, ignore=shutil.ignore_patterns("*_pb2*", "__pycache__"))
    assert breaking(protos).returncode == 0
    changed = protos / "kmeans" / "v1" / file
    text = changed.read_text()
    assert before in text
    changed.write_text(text.replace(before, after))
    found = breaking(protos)
    assert found.returncode != 0
    assert file in found.stdout


def test_the_reference_is_current() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "api_reference.py"))
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    assert script["with_reference"](page) == page, "run: make api-docs"
