"""Tokens as they are kept: hashes by owner, and lines that say what is wrong with them."""

from __future__ import annotations

import pytest

from services.core.errors import InvalidInput
from services.core.tokens import Tokens, make_token, token_hash, token_line


def test_a_made_token_is_its_owners() -> None:
    token, other = make_token(), make_token()
    tokens = Tokens.parse_file(f"{token_line('ann', token)}\n{token_line('ben@lab.example', other)}", "file")
    assert (tokens.owner_of(token), tokens.owner_of(other)) == ("ann", "ben@lab.example")
    assert tokens.owner_of("") is tokens.owner_of(token_hash(token)) is tokens.owner_of(token + "=") is None
    assert token_hash(token) not in repr(tokens)


def test_every_entry_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [make_token() for _ in range(5)]
    tokens = Tokens.parse_file("\n".join(token_line(f"o{i}", token) for i, token in enumerate(made)), "file")
    compared: list[int] = []

    def compare(known: str, presented: str) -> bool:
        compared.append(len(presented))
        return known == presented

    monkeypatch.setattr("hmac.compare_digest", compare)
    assert [tokens.owner_of(token) for token in (made[0], made[4], "x")] == ["o0", "o4", None]
    assert compared == [64] * 15


def test_comments_empty_lines_and_byte_order_marks() -> None:
    line = token_line("ann", "x" * 43)
    text = f"\ufeff# who may\r\n\r\n  {line.upper().replace('ANN', 'ann')}  # her laptop\n\t\n"
    assert Tokens.parse_file(text, "file").owner_of("x" * 43) == "ann"
    assert Tokens.parse_file("", "file").entries == ()


@pytest.mark.parametrize(
    "line",
    ["ann", "ann 12", f"{'ab' * 32} ann", f"ann {'ab' * 32} more", f"ann {'zz' * 32}", f"ä {'ab' * 32}"],
)
def test_a_wrong_line_is_named_and_not_shown(line: str) -> None:
    with pytest.raises(InvalidInput, match="Line 2 of the file") as refused:
        Tokens.parse_file(f"# first\n{line}", "the file")
    assert refused.value.reason == "BAD_TOKENS"
    assert line not in str(refused.value)


@pytest.mark.parametrize(
    "owner", ["", ".", "a b", "a/b", "../x", "ann\n", "-", "a" * 65, "\N{LATIN SMALL LETTER SHARP S}", "a:b"]
)
def test_owners_that_cannot_be(owner: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        token_line(owner, make_token())
    assert refused.value.reason == "BAD_OWNER"


def test_one_token_has_one_owner() -> None:
    token = make_token()
    with pytest.raises(InvalidInput, match="two owners, ann and ben"):
        Tokens.parse_file(f"{token_line('ann', token)}\n{token_line('ben', token)}", "file")


def test_a_token_that_no_call_could_bring_is_refused_at_the_start() -> None:
    longest = "x" * 512
    assert Tokens.parse_pairs(f"ann:{longest}", "KMEANS_TOKENS").owner_of(longest) == "ann"
    with pytest.raises(InvalidInput, match="entry 1 of KMEANS_TOKENS has 513 characters") as caught:
        Tokens.parse_pairs(f"ann:{longest}x", "KMEANS_TOKENS")
    assert caught.value.reason == "BAD_TOKENS"
    assert longest not in str(caught.value)
