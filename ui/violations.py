"""Which part of a form each complaint of the service belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from kmeans_client import KMeansError

__all__ = ["by_field", "unplaced"]

_INDEX = re.compile(r"\[[0-9]+\]$")
# What the service calls by the names of its API stands on the form under these.
_LABELS = {
    "max_k": "Most clusters (K)",
    "n_experiments": "Experiments",
    "n_init": "Starts per fit",
    "max_iter": "Iterations per start, at most",
    "min_members": "Smallest cluster",
}
_FIELD_NAME = re.compile(r"\b(" + "|".join(_LABELS) + r")\b")


def by_field(error: KMeansError | None) -> Mapping[str, str]:
    """The sentences of each field of a JobSpec, e.g. `max_k`, joined."""
    found: dict[str, list[str]] = {}
    for violation in () if error is None else error.violations:
        # `spec.columns[2]` is an element of what one field of the form stands for.
        name = _INDEX.sub("", violation.field.removeprefix("spec."))
        found.setdefault(name, []).append(violation.description)
    return {name: _in_words(" ".join(dict.fromkeys(sentences))) for name, sentences in found.items()}


def _in_words(sentence: str) -> str:
    """The sentence with the names that the form has for the fields of a spec."""
    return _FIELD_NAME.sub(lambda found: f"“{_LABELS[found[0]]}”", sentence)


def unplaced(error: KMeansError | None, fields: Iterable[str]) -> str:
    """What no field of the form stands for; the whole message when the error names no field."""
    if error is None:
        return ""
    placed = by_field(error)
    if not placed:
        return error.message
    known = set(fields)
    return " ".join(sentence for name, sentence in placed.items() if name not in known)
