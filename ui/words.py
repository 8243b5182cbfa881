"""Durations, ages, sizes and counts as people say them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

__all__ = ["age", "count", "duration", "moment", "plain", "size"]

# Streamlit finds addresses, mail, emoji, icons and arrows in the text itself, after Markdown is read: there a
# character that is not seen and does not break the line stands between what would make one.
_JOINER = "\N{WORD JOINER}"
_FOUND_IN_TEXT = re.compile(r"(?<=[:@])(?=\S)|(?<=www)(?=\.)|(?<=[<>~-])(?=[<>=-])", re.IGNORECASE)
# References are never markup.
_MARKUP = re.compile(r"[!#$&*+/:<=>@\[\\\]^_`{|}~-]")
_NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KIB = 1024


def duration(seconds: float) -> str:
    """`0.4 s`, `45 s`, `3 min 20 s`, `2 h 5 min`, `3 days`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < 2 * _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return f"{whole // _DAY} days"


def age(then: datetime, now: datetime) -> str:
    """`just now`, `3 min ago`, `2 h ago`, `yesterday`, `5 days ago`, then the date."""
    seconds = (now - then).total_seconds()
    if seconds < _MINUTE:
        return "just now"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min ago"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)} h ago"
    if seconds < 2 * _DAY:
        return "yesterday"
    if seconds < 14 * _DAY:
        return f"{int(seconds // _DAY)} days ago"
    return f"on {then:%-d %B %Y}"


def size(size_bytes: int) -> str:
    """`812 bytes`, `12.4 KiB`, `96.3 MiB`, `1.0 GiB`."""
    if size_bytes < _KIB:
        return count(size_bytes, "byte")
    value = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB"):
        value /= _KIB
        if value < _KIB or unit == "GiB":
            break
    return f"{value:.1f} {unit}"


def count(number: int, noun: str) -> str:
    """`1 task`, `3,013 rows`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def moment(stamp: Timestamp) -> datetime:
    """A time of the service, in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


def plain(text: str) -> str:
    """Text of a user or of a server, written so that a page shows it as it is, in one line.

    No link, picture, icon, formula or tag comes of it, whatever it holds.
    """
    line = _FOUND_IN_TEXT.sub(_JOINER, " ".join(text.split()))
    line = _MARKUP.sub(lambda found: f"&#{ord(found[0])};", line)
    return _NUMBERED.sub(lambda found: f"{found[1]}&#{ord(found[2])};", line)


def _two(whole: int, big: int, big_unit: str, small: int, small_unit: str) -> str:
    rest = whole % big // small
    return f"{whole // big} {big_unit}" + (f" {rest} {small_unit}" if rest else "")
