"""Memory does not grow with the upload: peaks of fresh processes, over what importing takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ALLOWED_MIB = 180

MEASURE = """
import resource, sys
from pathlib import Path
from services.tables import parse_table, profile_selection, sample_table
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
with open(sys.argv[1], "rb") as source:
    parsed = parse_table(source, "big", None, Path(sys.argv[2]))
with open(sys.argv[2], "rb") as source:
    sample_table(source, None, 1000, 1)
    profile_selection(source, [parsed.correlation.columns[0]])
print(parsed.row_count, peak() - before)
"""


def measure(source: Path, destination: Path) -> tuple[int, int]:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(source), str(destination)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows, mebibytes = run.stdout.split()
    return int(rows), int(mebibytes)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts kibibytes on Linux only")
@pytest.mark.parametrize(
    ("header", "row", "row_count"),
    [
        ("x,y,z,name", "1.234567,-2.345678,1234.5678,north\n", 3_000_000),
        (",".join(f"c{i}" for i in range(256)), ",".join(["1"] * 256) + "\n", 50_000),
        ("x,text", "1," + "long " * 100_000 + "\n", 200),
    ],
    ids=["100 MiB of rows", "a wide table", "long text"],
)
def test_a_large_table_is_parsed_in_bounded_memory(
    tmp_path: Path, header: str, row: str, row_count: int
) -> None:
    source = tmp_path / "big.csv"
    block = max(1, (1 << 20) // len(row))
    with source.open("w") as file:
        file.write(header + "\n")
        for start in range(0, row_count, block):
            file.write(row * min(block, row_count - start))
    rows, mebibytes = measure(source, tmp_path / "table.parquet")
    assert rows == row_count
    assert mebibytes < ALLOWED_MIB
