"""`kmeans-service token`."""

from __future__ import annotations

from typer.testing import CliRunner

from services.cli.main import app
from services.core.tokens import Tokens


def test_the_token_alone_is_on_stdout_and_its_line_opens_the_door() -> None:
    made = CliRunner().invoke(app, ["token", "ann"])
    assert made.exit_code == 0
    token = made.stdout.strip()
    line = made.stderr.splitlines()[-1]
    assert token not in made.stderr
    assert Tokens.parse_file(line, "file").owner_of(token) == "ann"
