"""What the operations guide says is on the servers is what the code puts there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from services.backends.mongodb import schema
from services.backends.rabbitmq.location import DEFAULT_PREFIX
from services.backends.rabbitmq.topology import Topology, election_command
from services.core.datasets import original_key, table_key

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "operations.md").read_text()


class Recorder:
    """A channel that notes what is declared."""

    def __init__(self) -> None:
        self.exchanges: dict[str, str] = {}
        self.queues: dict[str, dict[str, Any]] = {}

    def exchange_declare(self, name: str, kind: str, *, durable: bool, callback: Any) -> None:
        self.exchanges[name] = kind
        callback(None)

    def queue_declare(self, name: str, *, durable: bool, arguments: dict[str, Any], callback: Any) -> None:
        self.queues[name] = arguments
        callback(None)

    def queue_bind(self, *_arguments: Any, callback: Any, **_options: Any) -> None:
        callback(None)


@pytest.fixture
def declared() -> Recorder:
    recorder = Recorder()
    Topology(DEFAULT_PREFIX, 3).declare(recorder, lambda: None)
    return recorder


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under this heading, its head left out."""
    section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_exchanges_and_queues(declared: Recorder) -> None:
    rows = table("What is in RabbitMQ")
    exchanges = {row[0].strip("`"): row[1] for row in rows if "exchange" in row[1]}
    queues = {row[0].strip("`"): row for row in rows if "queue" in row[1]}
    assert exchanges == {name: f"{kind} exchange" for name, kind in declared.exchanges.items()}
    assert queues.keys() == declared.queues.keys()
    for name, arguments in declared.queues.items():
        assert queues[name][1] == f"{arguments['x-queue-type']} queue"
        said = dict(re.findall(r"`(x-[a-z-]+)` = `?([A-Za-z0-9_.-]+)`?", queues[name][3]))
        done = {key: str(value) for key, value in arguments.items() if key != "x-queue-type"}
        if name == Topology(DEFAULT_PREFIX, 3).bundles:
            done["x-delivery-limit"] = "KMEANS_DELIVERY_LIMIT"
        assert said == done, name


def test_collections_and_indexes() -> None:
    # A row without a name tells of other documents of the collection above it.
    rows = [row for row in table("What is in MongoDB") if row[0]]
    said = {row[0].strip("`"): set(re.findall(r"`([a-z_]+)`", row[3])) for row in rows}
    done = {name: {index.document["name"] for index in indexes} for name, indexes in schema._INDEXES.items()}
    assert said == done | {"schema": set()}


def test_object_keys() -> None:
    assert [row[0].strip("`") for row in table("What is in S3")] == [original_key("ID"), table_key("ID")]


def test_the_remedy_for_a_queue_without_a_leader() -> None:
    assert election_command("/", Topology(DEFAULT_PREFIX, 3).bundles) in GUIDE


def test_the_log_lines_it_names_are_written() -> None:
    """Each *phrase* of the table of failures is a text of the code, or the beginning of one."""
    texts = {
        node.value
        for path in (ROOT / "services").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    rows = table("What each failure looks like, and what to do")
    phrases = [phrase for row in rows for phrase in re.findall(r"\*([^*]+)\*", row[0])]
    assert len(phrases) >= 12
    for phrase in phrases:
        for part in filter(None, (piece.strip() for piece in re.split(r"…|\(MongoDB at", phrase))):
            assert any(part.strip(" )") in text for text in texts), phrase
