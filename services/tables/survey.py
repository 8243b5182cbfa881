"""One look at the whole text of an upload, to know that it can be read again without surprise."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from services.tables import limits
from services.tables.refusals import Reason, refusal
from services.tables.text import CHUNK_BYTES, Encoding, check_text_size, open_bytes

__all__ = ["Survey", "guess_encoding", "survey_text"]

_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r"))


@dataclass(frozen=True, slots=True)
class Survey:
    """What one look at the whole text found.

    Attributes:
        encoding: what decodes all of it.
        quote_count: double quotes in it; odd means that one is not closed, or stands for inches.
    """

    encoding: Encoding
    quote_count: int


class _NotUtf8(Exception):
    def __init__(self, line: int, after_utf8: bool) -> None:
        self.line = line
        self.after_utf8 = after_utf8
        super().__init__(line)


def guess_encoding(head: bytes, display_name: str) -> Encoding:
    """Guess from the first bytes; `survey_text` decides.

    Raises:
        InvalidTable: BINARY_FILE for a NUL byte, BAD_ENCODING for UTF-32.
    """
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise refusal(
            Reason.BAD_ENCODING, f"'{display_name}' is UTF-32 text. Save it as UTF-8 and upload that."
        )
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Encoding.UTF_16
    if b"\x00" in head:
        raise refusal(
            Reason.BINARY_FILE,
            f"'{display_name}' holds NUL bytes, so it is a binary file, or UTF-16 text without a byte-order "
            "mark. Save it as CSV in UTF-8 and upload that.",
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return Encoding.WINDOWS_1252
    return Encoding.UTF_8


def survey_text(
    source: BinaryIO, display_name: str, check_still_wanted: Callable[[], None], *, compressed: bool
) -> Survey:
    """Read all the text once: its encoding, its quotes, and whether anything in it forbids to go on.

    UTF-16 needs its byte-order mark. What is not UTF-8 is Windows-1252, which gives nearly every byte a
    meaning; so it must hold no control characters, and no UTF-8 before the first byte that is not.
    `check_still_wanted` is called for each chunk; what it raises passes through.

    Raises:
        InvalidTable: BAD_ENCODING, BAD_GZIP, BINARY_FILE, LINE_TOO_LONG or TOO_LARGE, saying the line.
    """
    head = open_bytes(source, display_name, compressed=compressed).read(CHUNK_BYTES)
    if guess_encoding(head, display_name) is Encoding.UTF_16:
        return _scan(source, display_name, Encoding.UTF_16, compressed, check_still_wanted)
    try:
        return _scan(source, display_name, Encoding.UTF_8, compressed, check_still_wanted)
    except _NotUtf8 as found:
        if found.after_utf8:
            raise refusal(
                Reason.BAD_ENCODING,
                f"Line {found.line} of '{display_name}' holds a byte that is not UTF-8, though the text "
                "before it is. Save the file in one encoding, UTF-8.",
                line=found.line,
            ) from None
    return _scan(source, display_name, Encoding.WINDOWS_1252, compressed, check_still_wanted)


def _scan(
    source: BinaryIO,
    display_name: str,
    encoding: Encoding,
    compressed: bool,
    check_still_wanted: Callable[[], None],
) -> Survey:
    reader = open_bytes(source, display_name, compressed=compressed)
    decoder = codecs.getincrementaldecoder(encoding.value)()
    lines = size_bytes = line_bytes = quote_count = 0
    only_ascii = True
    final = False
    while not final:
        check_still_wanted()
        chunk = reader.read(CHUNK_BYTES)
        final = not chunk
        try:
            text = decoder.decode(chunk, final).encode()
        except UnicodeError as error:
            line = lines + 1
            if isinstance(error, UnicodeDecodeError):
                line += error.object[: error.start].count(b"\n")
                only_ascii = only_ascii and error.object[: error.start].isascii()
            if encoding is Encoding.UTF_8:
                raise _NotUtf8(line, not only_ascii) from None
            raise refusal(
                Reason.BAD_ENCODING,
                f"Line {line} of '{display_name}' holds bytes that are no text in UTF-8, UTF-16 or "
                "Windows-1252. Save the file as UTF-8.",
                line=line,
            ) from None
        size_bytes += len(text)
        check_text_size(size_bytes, display_name)
        _check_controls(text, lines, display_name)
        line_bytes = _check_lines(text, line_bytes, lines, display_name)
        lines += text.count(b"\n")
        quote_count += text.count(b'"')
        only_ascii = only_ascii and text.isascii()
    return Survey(encoding, quote_count)


def _check_controls(text: bytes, lines: int, display_name: str) -> None:
    # Deleting is one pass in C, a hundred times faster than looking for each control byte.
    if len(text.translate(None, _CONTROL_BYTES)) == len(text):
        return
    position = next(index for index, byte in enumerate(text) if byte in _CONTROL_BYTES)
    line = lines + text[:position].count(b"\n") + 1
    raise refusal(
        Reason.BINARY_FILE,
        f"Line {line} of '{display_name}' holds the control byte 0x{text[position]:02x}, so it is a binary "
        "or damaged file. Save it as CSV and upload that.",
        line=line,
    )


def _check_lines(text: bytes, line_bytes: int, lines: int, display_name: str) -> int:
    """Return the length of the line that `text` leaves open; `line_bytes` is what it found open."""
    ends = [text.find(b"\n"), text.find(b"\r")]
    first = min((end for end in ends if end >= 0), default=len(text))
    last = max(text.rfind(b"\n"), text.rfind(b"\r"))
    rest = len(text) - last - 1 if last >= 0 else line_bytes + len(text)
    if max(line_bytes + first, rest) > limits.MAX_LINE_BYTES:
        line = lines + 1 + (text.count(b"\n") if line_bytes + first <= limits.MAX_LINE_BYTES else 0)
        raise refusal(
            Reason.LINE_TOO_LONG,
            f"Line {line} of '{display_name}' is longer than {limits.MAX_LINE_BYTES} bytes. A table has one "
            "row a line; check that the file is one.",
            line=line,
        )
    return rest
