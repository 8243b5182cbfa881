"""What the docs say of settings and commands is what the program has."""

from __future__ import annotations

import re
from pathlib import Path

from services.cli.main import app
from services.core.settings import Settings

DOCS = Path(__file__).parents[3] / "docs"


def test_every_setting_is_documented_and_no_other() -> None:
    documented = set(re.findall(r"(?m)^\| `KMEANS_([A-Z0-9_]+)`", (DOCS / "settings.md").read_text()))
    assert documented == {name.upper() for name in Settings.model_fields}


def test_every_command_is_documented() -> None:
    text = (DOCS / "command-line.md").read_text()
    names = [command.callback.__name__ for command in app.registered_commands if command.callback]
    assert len(names) >= 10
    assert [name for name in names if f"kmeans-service {name}" not in text] == []


def test_every_link_between_the_docs_leads_somewhere() -> None:
    root = DOCS.parent
    for page in [*root.glob("*.md"), *DOCS.glob("*.md"), *(root / "examples").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
