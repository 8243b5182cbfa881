"""A model leaves the service: `predict` and `export` against a running one, and the example beside them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.e2e.conftest import EXAMPLES, Program


def test_a_model_labels_rows_inside_and_outside_of_the_service(program: Program, soil_field: Path) -> None:
    program.start("up", "--no-ui", "--address", "127.0.0.1:0")
    target = ("--target", program.address())
    small = ("--max-k", "4", "--experiments", "1", "--n-init", "2")
    best = program.json("fit", soil_field, *small, *target)["best"]
    job = best["task"].partition("/tasks/")[0]

    out = program.folder / "labelled.csv"
    done = program("predict", job, soil_field, "--out", out, *target)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    labels = program("labels", job, *target)
    known = [row["label"] for row in csv.DictReader(io.StringIO(labels.stdout))]
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["label"] for row in rows] == known
    with soil_field.open(newline="") as original:
        assert list(rows[0])[:-3] == next(csv.reader(original))
    assert 0 < sum(row["outlier"] == "true" for row in rows) < len(rows) / 20

    model = program.folder / "model.json"
    done = program("export", best["task"], "--out", model, *target)
    assert done.returncode == 0, done.stderr
    assert json.loads(model.read_text())["task"] == best["task"]
    example = subprocess.run(
        [sys.executable, EXAMPLES / "label_with_model.py", model, soil_field],
        capture_output=True,
        text=True,
        check=True,
    )
    counts = Counter(label for label in known if label)
    expected = [counts[str(label)] for label in range(best["k"])]
    assert example.stdout.split("]")[0].strip("[ ").split() == [str(count) for count in expected]

    refused = program("predict", "jobs/none", soil_field, *target)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "There is no job 'jobs/none'" in refused.stderr
