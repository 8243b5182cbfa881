from __future__ import annotations

import grpc

from kmeans_client import KMeansError, Violation
from ui.violations import by_field, unplaced


def refused(*violations: Violation) -> KMeansError:
    return KMeansError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", "All of it.", violations)


def test_sentences_go_to_the_field_they_are_about() -> None:
    error = refused(
        Violation("spec.columns", "Column 'a' never varies."),
        Violation("spec.columns[2]", "Column 'b' never varies.", "CONSTANT_COLUMN"),
        Violation("spec.max_k", "Too large."),
    )
    assert by_field(error) == {
        "columns": "Column 'a' never varies. Column 'b' never varies.",
        "max_k": "Too large.",
    }
    assert unplaced(error, ["columns", "max_k"]) == ""
    assert unplaced(error, ["columns"]) == "Too large."


def test_an_error_that_names_no_field_is_shown_whole() -> None:
    assert unplaced(refused(), ["columns"]) == "All of it."
    assert unplaced(None, []) == ""
    assert by_field(None) == {}
