"""Bounds on what an upload may unfold to, so that no file can exhaust memory or time.

The bound on the uploaded bytes themselves and on columns live in `services.core.datasets`.
"""

from __future__ import annotations

__all__ = [
    "BLOCK_BYTES",
    "MAX_CELLS",
    "MAX_LINE_BYTES",
    "MAX_NAME_CHARACTERS",
    "MAX_TEXT_BYTES",
    "MAX_TEXT_VALUE_CHARACTERS",
    "READER_BYTES",
    "READER_SECONDS",
    "ROW_GROUP_BYTES",
]

# Text after decompression. Tables of numbers shrink three- to tenfold, so an honest gzip of 256 MiB fits.
MAX_TEXT_BYTES = 4 << 30

# Rows times columns: 4 GiB of float64. A kilobyte of run-length coded Parquet can claim far more.
MAX_CELLS = 1 << 29

# One line of text. 256 numbers of 24 characters make 6 KiB; what is longer is not a table.
MAX_LINE_BYTES = 1 << 20

# Text handed to the parser at once. A row, line breaks in quotes included, must fit in it.
BLOCK_BYTES = 2 << 20

# Data of the process that reads a Parquet file. 256 columns with a dictionary and a page of 1 MiB each, as
# many programs write them, take 0.8 GiB.
READER_BYTES = 1 << 30

# Processor time of that process. 2^29 numbers take 140 s a pass, 4 GiB of numbers written as text 300 s.
READER_SECONDS = 600

# Parsed cells kept in memory before they are written as one row group.
ROW_GROUP_BYTES = 16 << 20

MAX_NAME_CHARACTERS = 255
MAX_TEXT_VALUE_CHARACTERS = 80
