"""Tables: from uploaded bytes to checked columns, and from stored columns to matrices and samples.

Works on seekable binary files and local paths; knows no object store and no network.
"""

from services.tables.apart import parse_apart
from services.tables.complete import CompleteRows, read_complete_rows
from services.tables.labelled import free_name, write_labelled
from services.tables.matrix import Matrix, load_matrix
from services.tables.parsing import ParsedTable, parse_table
from services.tables.refusals import Reason
from services.tables.sample import Sample, SampledColumn, SampleTooLarge, sample_table
from services.tables.selection import Selection, profile_selection
from services.tables.signatures import is_parquet

__all__ = [
    "CompleteRows",
    "Matrix",
    "ParsedTable",
    "Reason",
    "Sample",
    "SampleTooLarge",
    "SampledColumn",
    "Selection",
    "free_name",
    "is_parquet",
    "load_matrix",
    "parse_apart",
    "parse_table",
    "profile_selection",
    "read_complete_rows",
    "sample_table",
    "write_labelled",
]
