"""`kmeans-service token`: makes a bearer token."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from services.core.tokens import check_owner, make_token, token_line

__all__ = ["token"]


def token(
    owner: Annotated[
        str, typer.Argument(metavar="OWNER", help="Whose datasets and jobs it opens.", show_default=False)
    ],
) -> None:
    """Make a token: print it, and on stderr the line for the gateway's token file."""
    check_owner(owner)
    made = make_token()
    print(made)
    print(
        "The token is shown this once. Add this line to the gateway's KMEANS_TOKENS_FILE:\n"
        f"{token_line(owner, made)}",
        file=sys.stderr,
    )
