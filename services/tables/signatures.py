"""What a file is, told from its first bytes: names and extensions lie."""

from __future__ import annotations

import re
from typing import BinaryIO

from services.tables.refusals import Reason, refusal

__all__ = ["GZIP", "PARQUET", "check_text_signature", "is_parquet"]

GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"

_SAVE_AS_CSV = "Save it as CSV and upload that."
_SIGNATURES = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook or another Office file"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"ARROW1", "an Arrow file"),
    (b"FEA1", "a Feather file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x7fELF", "a program"),
    (b"RDX", "an R data file"),
    (b"X\n\x00\x00\x00", "an R data file"),
    (GZIP, "a gzip inside a gzip"),
)
_MARKUP = re.compile(rb"\s*<(!doctype|html|\?xml|svg)", re.IGNORECASE)
_JSON = re.compile(rb'\s*(\{\s*"[^"]*"\s*:|\[\s*[\[{])')


def is_parquet(source: BinaryIO) -> bool:
    """Whether a file begins as Parquet does; it is rewound for that."""
    source.seek(0)
    return source.read(len(PARQUET)) == PARQUET


def check_text_signature(head: bytes, display_name: str) -> None:
    """Refuse what cannot be a text table.

    Args:
        head: the first bytes of the file, decompressed.
        display_name: the file's name, for the sentence.

    Raises:
        InvalidTable: BINARY_FILE or NOT_A_TABLE, saying what the file seems to be.
    """
    kind = _binary_kind(head)
    if kind is not None:
        raise refusal(Reason.BINARY_FILE, f"'{display_name}' is {kind}, not a text table. {_SAVE_AS_CSV}")
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _MARKUP.match(text):
        raise refusal(
            Reason.NOT_A_TABLE,
            f"'{display_name}' is a web page or XML, not a table. Download the data itself, as CSV.",
        )
    if _JSON.match(text):
        raise refusal(Reason.NOT_A_TABLE, f"'{display_name}' is JSON, not a table. {_SAVE_AS_CSV}")


def _binary_kind(head: bytes) -> str | None:
    if head.startswith(b"PK\x03\x04"):
        if b"[Content_Types].xml" in head or b"xl/" in head:
            return "an Excel workbook or another Office file"
        if b"opendocument.spreadsheet" in head:
            return "an OpenDocument spreadsheet"
        return "a ZIP archive"
    for signature, kind in _SIGNATURES:
        # RDX, ORC, GIF8 and BZh are also how a header may begin; the real ones hold a NUL soon after.
        if head.startswith(signature) and (not signature.isalnum() or b"\x00" in head):
            return kind
    return None
