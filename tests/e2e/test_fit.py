"""`kmeans-service fit`: a table in, a recommendation out."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import PROGRAM, Program

SMALL = ("--max-k", "5", "--experiments", "2", "--n-init", "3")


def test_recommends_from_a_real_table(program: Program, soil_field: Path) -> None:
    found = program.json("fit", soil_field, *SMALL)
    assert found["columns"] == ["EC1", "EC2", "Elevation"]
    assert found["d"] == 3
    assert found["n_tasks"] == 5 * 2 * 6 == len(found["scores"])
    assert {score["state"] for score in found["scores"]} <= {"done", "degenerate"}
    assert sum(found["best"]["counts"]) == found["n"]
    qualified = [entry["bic"] for entry in found["recommended"]]
    assert found["best"]["bic"] == max(qualified)
    assert len(qualified) == 6
    assert found["best"]["aic"] > found["best"]["bic"]
    assert found["seconds"] > 0


def test_prints_a_table_for_people(program: Program, soil_field: Path) -> None:
    done = program("fit", soil_field, *SMALL)
    assert done.returncode == 0, done.stderr
    for name in ("full-untied", "full-tied", "diag-untied", "diag-tied", "spher-untied", "spher-tied"):
        assert name in done.stdout
    assert "Best: K = " in done.stdout
    assert "cluster sizes" in done.stdout
    assert "60 of 60 tasks" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_the_readme_shows_what_the_program_prints(program: Program, soil_field: Path) -> None:
    """Its first and last line: on other processors other starts may win where covariances fit badly."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    shown = readme.partition("$ make run\n")[2].partition("\n```")[0].splitlines()
    printed = program("fit", soil_field).stdout.splitlines()
    assert printed[0].partition(" tasks in ")[0] == shown[0].partition(" tasks in ")[0]
    assert printed[-1] == shown[-1]
    assert [line[:15] for line in printed] == [line[:15] for line in shown]


def test_says_when_the_best_k_is_at_the_edge(program: Program, soil_field: Path) -> None:
    done = program("fit", soil_field, "--max-k", "2", "--experiments", "1", "--n-init", "2")
    assert done.returncode == 0, done.stderr
    assert "at the edge of the range" in done.stdout
    assert "--max-k" in done.stdout


def test_says_kindly_when_no_fit_qualifies(program: Program) -> None:
    table = program.file("few.csv", "a,b\n" + "".join(f"{i},{i * i % 7}\n" for i in range(20)))
    done = program("fit", table, "--max-k", "2", "--experiments", "1")
    assert done.returncode == 0, done.stderr
    assert "with a cluster below 30 members" in done.stdout
    assert program.json("fit", table, "--max-k", "2", "--experiments", "1")["best"] is None


def test_same_seed_same_bits_for_any_number_of_workers(program: Program, soil_field: Path) -> None:
    one, four = (program.json("fit", soil_field, *SMALL, "--workers", workers) for workers in ("1", "4"))
    assert one["job"] != four["job"]
    for part in ("scores", "n", "n_tasks", "columns"):
        assert one[part] == four[part]
    assert {**one["best"], "task": ""} == {**four["best"], "task": ""}
    other = program.json("fit", soil_field, *SMALL, "--seed", "1")
    assert other["scores"] != one["scores"]


def test_labels_stand_beside_their_rows(program: Program, penguins: Path) -> None:
    out = program.folder / "labelled.csv"
    done = program(
        "fit", penguins, "--columns", "bill_length_mm,bill_depth_mm", *SMALL, "--labels", out, "--json"
    )
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)["best"]
    with out.open(newline="") as labelled, penguins.open(newline="") as original:
        rows, originals = list(csv.DictReader(labelled)), list(csv.DictReader(original))
    assert len(rows) == len(originals)
    sizes = [0] * best["k"]
    for row, source in zip(rows, originals, strict=True):
        missing = source["bill_length_mm"] in {"", "NA"}
        assert (row["label"] == "") == missing
        assert row["species"] == source["species"]
        if not missing:
            assert math.isclose(float(row["bill_length_mm"]), float(source["bill_length_mm"]))
            sizes[int(row["label"])] += 1
    assert sizes == best["counts"]


def test_the_report_is_one_file(program: Program, penguins: Path) -> None:
    out = program.folder / "report.html"
    found = program.json("fit", penguins, *SMALL, "--report", out)
    text = out.read_text(encoding="utf-8")
    assert f"{found['best']['k']} clusters, {found['best']['covariance']}" in text
    assert "flipper_length_mm" in text
    assert 'data-plot="agreement"' in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.https?:", text)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1,2\n3\n5,6\n", "Row 2"),
        (b"a,b\n1,2\n3,x\n5,6\n", "nothing to cluster on|not numeric|row 2"),
        (b"a,a\n1,2\n3,4\n", "'a'"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "PNG|binary"),
        (b"PK\x03\x04\x14\x00\x00\x00\x08\x00", "Excel|zip|ZIP"),
        (b"\x00\x01\x02\x03" * 100, "binary|not text|NUL"),
    ],
    ids=["empty", "header-only", "ragged", "text", "duplicate", "png", "xlsx", "binary"],
)
def test_a_bad_file_gets_a_sentence(program: Program, content: bytes, sentence: str) -> None:
    table = program.file("table.csv", content)
    done = program("fit", table, "--columns", "a,b", "--max-k", "2", "--experiments", "1")
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert any(part in done.stderr for part in sentence.split("|")), done.stderr
    assert "Traceback" not in done.stderr
    assert not list((program.home / "objects").rglob("*.parquet")) or b"x" in content


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--columns", "a,zebra"), "There is no column 'zebra'. The columns are 'a', 'b', 'same'."),
        (("--columns", "a,same"), "Column 'same' never varies"),
        (("--max-k", "9"), "fewer than max_k = 9"),
        (("--max-k", "51"), "from 1 to 50"),
        (("--max-k", "0"), "from 1 to 50"),
        (("--experiments", "0"), "from 1 to 100"),
        (("--n-init", "4096"), "from 1 to 2048"),
        (("--covariances", "full"), "'full' is not a covariance model"),
        (("--columns", "a,,b"), "empty column"),
        (("--min-members", "0"), "--min-members"),
        (("--seed", "-1"), "seed is -1"),
        (("--labels", "nowhere/out.csv"), "there is no folder"),
        (("--report", "nowhere/out.html"), "there is no folder"),
    ],
)
def test_a_bad_option_gets_a_sentence(program: Program, arguments: tuple[str, ...], sentence: str) -> None:
    table = program.file("table.csv", "a,b,same\n" + "".join(f"{i},{i * 3 % 7},5\n" for i in range(8)))
    done = program("fit", table, *(("--max-k", "2") if "--max-k" not in arguments else ()), *arguments)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_bad_input(program: Program) -> None:
    done = program("fit", "nowhere.csv")
    assert done.returncode == 2
    assert "There is no file nowhere.csv" in done.stderr


def test_an_upload_over_the_limit_is_bad_input(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    table = program.file("table.csv", "a,b\n" + "1,2\n" * 1000)
    environment = program.environment | {"KMEANS_MAX_UPLOAD_BYTES": "1000"}
    monkeypatch.setattr(type(program), "environment", environment)
    done = program("fit", table)
    assert done.returncode == 2
    assert "1,000" in done.stderr or "1000" in done.stderr


def test_no_service_at_the_target_is_unreachable(program: Program, soil_field: Path) -> None:
    done = program("fit", soil_field, "--target", "127.0.0.1:9")
    assert done.returncode == 3
    assert "127.0.0.1:9" in done.stderr


HEADER_CASES = {
    "spaces": " a , b \n",
    "quotes": '"a","b"\n',
    "byte-order mark": "\ufeffa,b\n",
}


@pytest.mark.parametrize("header", HEADER_CASES.values(), ids=HEADER_CASES)
def test_an_odd_header_is_understood(program: Program, header: str) -> None:
    rows = "".join(f"{i % 9},{i * i % 11}\n" for i in range(60))
    found = program.json("fit", program.file("t.csv", header + rows), "--max-k", "1", "--experiments", "1")
    assert found["columns"] == ["a", "b"]
    assert found["n"] == 60


def test_semicolons_and_decimal_commas_are_understood(program: Program) -> None:
    rows = [(i % 9 + 0.5, i * i % 11 + 0.25) for i in range(60)]
    plain = program.file("plain.csv", "a,b\n" + "".join(f"{a},{b}\n" for a, b in rows))
    comma = program.file("comma.csv", "a;b\n" + "".join(f"{a};{b}\n".replace(".", ",") for a, b in rows))
    options = ("--max-k", "2", "--experiments", "1")
    assert program.json("fit", plain, *options)["scores"] == program.json("fit", comma, *options)["scores"]


@pytest.mark.parametrize(
    "arguments",
    [("--seed", "9" * 20), ("--max-k", "9" * 11), ("--min-members", "9" * 11), ("--labels", "x" * 300)],
)
def test_a_number_or_name_beyond_all_bounds_is_bad_input(
    program: Program, penguins: Path, arguments: tuple[str, ...]
) -> None:
    done = program("fit", penguins, *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_labels_do_not_overwrite_the_table(program: Program, penguins: Path) -> None:
    table = program.file("table.csv", penguins.read_bytes())
    done = program("fit", table, "--labels", table)
    assert done.returncode == 2
    assert "is the table itself" in done.stderr
    assert table.read_bytes() == penguins.read_bytes()


def test_closed_streams_are_no_trouble(program: Program, penguins: Path) -> None:
    command = f"{PROGRAM} fit {penguins} --max-k 1 --experiments 1 >&- 2>&-"
    done = subprocess.run(["sh", "-c", command], cwd=program.folder, env=program.environment, check=False)
    assert done.returncode == 0


def test_a_file_name_may_be_any_bytes(program: Program, penguins: Path) -> None:
    table = program.folder / os.fsdecode(b"\xff.csv")
    table.write_bytes(penguins.read_bytes())
    done = program("fit", table, "--max-k", "1", "--experiments", "1")
    assert done.returncode == 0, done.stderr
