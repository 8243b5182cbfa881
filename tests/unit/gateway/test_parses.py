"""Turns of parsing: first come, first served, and who leaves the line holds nobody up."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from services.gateway import parses, turns
from services.gateway.parses import Parses

LINE = 8


class Gone(Exception):
    pass


class Reader:
    """The one place for Parquet: notes who gets it, and holds the first of them until told otherwise."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.began = threading.Event()
        self.gate = threading.Event()

    def __call__(self, source: Path, display_name: str, *_: Any, **__: Any) -> Any:
        self.order.append(display_name)
        self.began.set()
        assert self.gate.wait(30)
        return display_name


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    reader = Reader()
    monkeypatch.setattr(parses, "parse_apart", reader)
    monkeypatch.setattr(turns, "_PATIENCE_SECONDS", 0.01)
    return reader


@pytest.fixture
def come(tmp_path: Path, reader: Reader) -> Callable[..., Future[Any]]:
    """Have somebody come; return when they have the place, or are asked whether they still wait for it."""
    parsing, threads = Parses(10), ThreadPoolExecutor(LINE)

    def come(
        name: str, leaving: threading.Event | None = None, answer: threading.Event | None = None
    ) -> Future[Any]:
        waits = threading.Event()

        def check() -> None:
            waits.set()
            if answer is not None:
                assert answer.wait(30)
            if leaving is not None and leaving.is_set():
                raise Gone

        folder = tmp_path / name
        folder.mkdir()
        source, table = io.BytesIO(b"PAR1 and so on"), folder / "table.parquet"
        began = reader.began.is_set()
        call = threads.submit(parsing.parse, source, name, None, table, check)
        assert (waits if began else reader.began).wait(30)
        return call

    return come


def test_who_came_first_is_served_first(come: Callable[..., Future[Any]], reader: Reader) -> None:
    names = [str(number) for number in range(LINE)]
    calls = [come(name) for name in names]
    assert reader.order == ["0"]
    reader.gate.set()
    assert [call.result(30) for call in calls] == names
    assert reader.order == names


def test_who_is_asked_whether_it_still_waits_keeps_its_place(
    come: Callable[..., Future[Any]], reader: Reader
) -> None:
    asking = threading.Event()
    first, second, third = come("first"), come("second", answer=asking), come("third")
    reader.gate.set()
    assert first.result(30) == "first"
    with pytest.raises(TimeoutError):
        third.result(0.3)
    asking.set()
    assert (second.result(30), third.result(30)) == ("second", "third")
    assert reader.order == ["first", "second", "third"]


def test_who_leaves_the_line_takes_no_place_along(come: Callable[..., Future[Any]], reader: Reader) -> None:
    leaving = threading.Event()
    first, gone, last = come("first"), come("gone", leaving), come("last")
    leaving.set()
    with pytest.raises(Gone):
        gone.result(30)
    reader.gate.set()
    assert (first.result(30), last.result(30)) == ("first", "last")
    assert reader.order == ["first", "last"]
