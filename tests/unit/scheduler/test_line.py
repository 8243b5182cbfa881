from __future__ import annotations

from services.scheduler.line import Line


def order(line: Line) -> list[str]:
    served = []
    while line:
        served.append(line.first())
        line.leave(served[-1])
    return served


def test_first_come_first_served_each_once() -> None:
    line = Line()
    line.join(["a", "b", "a", "c"])
    line.join(["b", "d"])
    assert len(line) == 4
    assert order(line) == ["a", "b", "c", "d"]


def test_place_is_kept_until_left() -> None:
    line = Line()
    line.join(["a", "b"])
    assert line.first() == line.first() == "a"
    line.leave("a")
    line.join(["a"])
    assert order(line) == ["b", "a"]


def test_leaving_twice_is_no_error() -> None:
    line = Line()
    line.leave("a")
    assert not line
