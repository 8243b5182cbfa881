from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

import pytest

from ui.words import age, count, duration, plain, size

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.42, "0.4 s"),
        (45.2, "45 s"),
        (59.9, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (86400, "24 h"),
        (300_000, "3 days"),
    ],
)
def test_durations_are_said_in_at_most_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(seconds=-2), "just now"),
        (timedelta(minutes=3), "3 min ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(hours=30), "yesterday"),
        (timedelta(days=5), "5 days ago"),
        (timedelta(days=40), "on 25 March 2026"),
    ],
)
def test_ages_become_a_date_after_two_weeks(ago: timedelta, words: str) -> None:
    assert age(NOW - ago, NOW) == words


def test_sizes_and_counts_are_for_people() -> None:
    assert size(812) == "812 bytes"
    assert size(101_000_000) == "96.3 MiB"
    assert size(1 << 30) == "1.0 GiB"
    assert count(1, "task") == "1 task"
    assert count(3013, "row") == "3,013 rows"


@pytest.mark.parametrize(
    "name",
    ["a*b*_c_[x](http://y)", "$x$ <b> `c`", "1. item", "www.a.example", "a&lt;b", ":heart:", "me@a.example"],
)
def test_a_users_name_is_never_markdown(name: str) -> None:
    written = plain(name)
    # Nothing is left that Markdown reads (a browser is asked in tests/e2e/dashboard), and nothing is lost.
    assert not set(re.sub(r"&#\d+;", "", written)) & set("*_[]`$<>&:@#")
    assert html.unescape(written).replace("\N{WORD JOINER}", "") == name


def test_what_is_found_in_the_text_itself_is_broken_up() -> None:
    for name in ("http://a.example", "www.a.example", "me@a.example", ":heart:", "a -> b"):
        assert name not in html.unescape(plain(name))
    assert plain("149 rows, 3 columns (50 %); why?") == "149 rows, 3 columns (50 %); why?"
