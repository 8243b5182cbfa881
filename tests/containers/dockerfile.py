"""The Dockerfile, as far as it can be followed without an engine: stages, what they copy, what they set."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

__all__ = ["Stage", "copy_context", "read_stages"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: the image it begins with, and its instructions in order as (WORD, rest of the line)."""

    base: str
    instructions: tuple[tuple[str, str], ...]

    def all(self, word: str) -> list[str]:
        """The rest of every line that begins with this word."""
        return [rest for each, rest in self.instructions if each == word]

    @property
    def copied(self) -> list[str]:
        """Every path of the checkout that it copies."""
        lines = [shlex.split(rest) for rest in self.all("COPY")]
        return [source for words in lines if not words[0].startswith("--from") for source in words[:-1]]

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV lines set."""
        return dict(word.split("=", 1) for rest in self.all("ENV") for word in shlex.split(rest))


def read_stages(path: Path) -> tuple[Stage, ...]:
    """The stages in order; an ARG before the first stands in their bases for its default."""
    text = re.sub(r"(?m)^\s*#.*\n?", "", path.read_text()).replace("\\\n", " ")
    arguments: dict[str, str] = {}
    stages: list[tuple[str, list[tuple[str, str]]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], rest.split()[0])
            stages.append((base, []))
        elif stages:
            stages[-1][1].append((word, " ".join(rest.split())))
        elif word == "ARG":
            arguments.update([rest.split("=", 1)])
    return tuple(Stage(base, tuple(instructions)) for base, instructions in stages)


def copy_context(root: Path, stage: Stage, destination: Path) -> None:
    """Copy what the stage copies, without what .dockerignore keeps back, as an engine would."""
    ignored = (root / ".dockerignore").read_text().split()
    for source in stage.copied:
        for path in _files(root / source):
            name = path.relative_to(root).as_posix()
            if not any(_is_ignored(name, pattern) for pattern in ignored):
                (destination / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, destination / name)


def _files(path: Path) -> Iterator[Path]:
    return iter([path]) if path.is_file() else (each for each in path.rglob("*") if each.is_file())


def _is_ignored(name: str, pattern: str) -> bool:
    steps = name.split("/")
    if pattern.startswith("**/"):
        return any(fnmatch(step, pattern.removeprefix("**/")) for step in steps)
    depth = pattern.count("/") + 1
    return len(steps) >= depth and fnmatch("/".join(steps[:depth]), pattern)
