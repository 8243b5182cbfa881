"""The documented reasons are those of the code, each with its gRPC code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from services.core.errors import InvalidInput, InvalidTable
from services.gateway.statuses import CODES, code_of
from services.tables import Reason

ROOT = Path(__file__).parents[3]
REASON = re.compile(r"[A-Z]+(_[A-Z0-9]+)+")
# What looks like a reason and is a variable, or the prefix of an enum.
OTHERS = re.compile(r"KMEANS_.*|(COLUMN|JOB|TABLE|TASK)_(KIND|ROLE|STATE|FORMAT|ORDER)|MODEL_FORMAT")
# The commands' own errors are sentences on stderr: nobody sees their reasons.
UNSEEN = {"cli"}


def documented() -> dict[str, str]:
    rows = re.findall(r"(?m)^\| `([A-Z_0-9]+)` \| ([A-Z_]+) \|", (ROOT / "docs/errors.md").read_text())
    assert len(dict(rows)) == len(rows), "a reason has two rows"
    return dict(rows)


def raised() -> Iterator[tuple[str, str]]:
    """Every reason in a call, and the name of what is called."""
    for top in ("services", "kmeans_client"):
        for path in (ROOT / top).rglob("*.py"):
            if UNSEEN & set(path.parts):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                called = node.func.id if isinstance(node.func, ast.Name) else called
                for given in (*node.args, *(keyword.value for keyword in node.keywords)):
                    if isinstance(given, ast.Constant) and isinstance(given.value, str):
                        text = given.value
                        if REASON.fullmatch(text) and not OTHERS.fullmatch(text):
                            yield text, called


def defaults() -> dict[str, str]:
    return {kind.default_reason: code_of(kind("")).name for kind in CODES}


def test_every_reason_is_documented_and_no_other() -> None:
    known = {reason for reason, _ in raised()} | set(defaults()) | set(Reason)
    assert known - set(documented()) == set(), "say in docs/errors.md what they mean"
    # Those of the client are one word, and not found by their looks.
    assert set(documented()) - known == {"UNREACHABLE", "UNKNOWN"}


def test_every_code_is_the_one_that_is_sent() -> None:
    codes = documented()
    kinds = {kind.__name__: kind for kind in CODES}
    assert {reason: codes[reason] for reason in defaults()} == defaults()
    assert {codes[reason] for reason in Reason} == {code_of(InvalidTable("")).name}
    for reason, called in raised():
        kind = InvalidInput if called == "invalid_field" else kinds.get(called)
        if kind is not None:
            assert codes[reason] == code_of(kind("")).name, f"{reason} is raised by {called}"
