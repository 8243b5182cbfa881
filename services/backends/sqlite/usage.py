"""What one owner has in SQLite."""

from __future__ import annotations

from services.backends.sqlite.database import Transaction
from services.backends.sqlite.records import WHOLES
from services.core.quotas import OwnerUsage

__all__ = ["usage_of"]

_UNFINISHED = "owner = ? AND state IN ('pending', 'running')"

# Read from the text: the documents hold NaN, which SQLite does not take for JSON. The first match is the key
# itself, as within a string the quotes would be escaped.
_KEY = '"size_bytes": '
_SIZE_BYTES = f"CAST(substr(document, instr(document, '{_KEY}') + {len(_KEY)}, 20) AS INTEGER)"


def usage_of(transaction: Transaction, owner: str) -> OwnerUsage:
    """Counted now; it stays so until a writing transaction ends."""
    jobs, planned = transaction.all(
        "SELECT count(*), coalesce(sum(json_extract(spec, '$.max_k') * json_extract(spec, '$.n_experiments') "
        f"* json_array_length(spec, '$.covariances')), 0) FROM jobs WHERE {_UNFINISHED} AND json_valid(spec)",
        (owner,),
    )[0]
    (ended,) = transaction.all(
        f"SELECT count(*) FROM tasks WHERE {WHOLES} AND state NOT IN ('pending', 'running') "
        f"AND job_id IN (SELECT id FROM jobs WHERE {_UNFINISHED})",
        (owner,),
    )[0]
    (stored_bytes,) = transaction.all(
        f"SELECT coalesce(sum({_SIZE_BYTES}), 0) FROM datasets WHERE owner = ?", (owner,)
    )[0]
    return OwnerUsage(int(jobs), max(0, int(planned) - int(ended)), int(stored_bytes))
