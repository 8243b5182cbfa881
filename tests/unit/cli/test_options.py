"""How option texts are read."""

from __future__ import annotations

import pytest
import typer

from services.cli.options import parse_columns, parse_covariances
from services.core.covariance import Covariance


def test_columns_are_split_as_a_csv_line() -> None:
    assert parse_columns(None) == ()
    assert parse_columns("a, b") == ("a", "b")
    assert parse_columns('"a,b",c') == ("a,b", "c")


@pytest.mark.parametrize("text", ["", "a,,b", ","])
def test_an_empty_column_name_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="empty column"):
        parse_columns(text)


def test_covariances_are_named_in_any_case_and_order() -> None:
    assert parse_covariances(None) == tuple(Covariance)
    assert parse_covariances("DIAG-tied, full-untied") == (Covariance.DIAG_TIED, Covariance.FULL_UNTIED)


def test_an_unknown_covariance_is_refused_with_those_that_exist() -> None:
    with pytest.raises(typer.BadParameter, match=r"'vvv'.*full-untied.*spher-tied"):
        parse_covariances("VVV")
