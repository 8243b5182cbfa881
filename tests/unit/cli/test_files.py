"""Files that a command reads and writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.files import check_readable, check_writable, writing
from services.core.errors import InvalidInput


def write_half(path: Path) -> None:
    path.write_text("half")
    raise OSError("The disk is full.")


def test_what_was_there_stays_until_all_is_written(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    output.write_text("before")
    with pytest.raises(OSError, match="full"), writing(output) as path:
        write_half(path)
    assert output.read_text() == "before"
    with writing(output) as path:
        path.write_text("after")
        assert output.read_text() == "before"
    assert output.read_text() == "after"
    assert list(tmp_path.iterdir()) == [output]


def test_a_device_is_written_to_as_it_is() -> None:
    with writing(Path("/dev/null")) as path:
        assert path == Path("/dev/null")


def test_the_table_itself_is_not_written_over(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a\n1\n")
    link = tmp_path / "link.csv"
    link.symlink_to(table)
    for output in (table, link):
        with pytest.raises(InvalidInput, match="is the table itself"):
            check_writable(output, read=table)
    check_writable(tmp_path / "other.csv", read=table)


@pytest.mark.parametrize("name", ["missing.csv", "x" * 300, "folder"])
def test_what_cannot_be_read_gets_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidInput) as refused:
        check_readable(tmp_path / name)
    assert refused.value.message.endswith(".")


@pytest.mark.parametrize("name", ["missing/out.csv", "x" * 300, "folder"])
def test_what_cannot_be_written_gets_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidInput, match="cannot be written"):
        check_writable(tmp_path / name)
