"""Imports point one way: services → backends → core, services → ckernel; ui → stubs only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# Who may import whom, by the longest prefix that matches the importing module. Everything outside the
# project is allowed unless named in FORBIDDEN.
ALLOWED = {
    "ckernel": {"ckernel"},
    "kmeans_client": {"kmeans_client", "kmeans"},
    "ui": {"ui", "kmeans_client", "kmeans"},
    "services.core": {"services.core"},
    "services.tables": {"services.tables", "services.core"},
    "services.backends": {"services.backends", "services.core"},
    "services.telemetry": {"services.telemetry", "services.core", "kmeans"},
    "services.gateway": {
        "services.gateway",
        "services.tables",
        "services.telemetry",
        "services.core",
        "ckernel",
        "kmeans",
    },
    "services.scheduler": {"services.scheduler", "services.core"},
    "services.worker": {"services.worker", "services.tables", "services.core", "ckernel"},
    "services.embedded": {
        "services.embedded",
        "services.gateway",
        "services.scheduler",
        "services.worker",
        "services.backends",
        "services.telemetry",
        "services.core",
        "ckernel",
    },
    "services.cli": {
        "services.cli",
        "services.embedded",
        "services.tables",
        "services.core",
        "kmeans_client",
        "kmeans",
        "ui",
    },
    # The composition roots of services that are processes of their own.
    "services.cli.serve": {"services.cli", "services.backends", "services.core", "services.telemetry"},
    "services.cli.gateway": {
        "services.cli",
        "services.backends",
        "services.core",
        "services.gateway",
        "services.telemetry",
    },
    "services.cli.scheduler": {
        "services.cli",
        "services.backends",
        "services.core",
        "services.scheduler",
        "services.telemetry",
    },
    "services.cli.worker": {
        "services.cli",
        "services.backends",
        "services.core",
        "services.worker",
        "services.telemetry",
        "ckernel",
    },
}
FORBIDDEN = {
    "services.core": {"grpc", "pika", "pymongo", "boto3", "sqlite3", "pyarrow", "streamlit", "threading"},
    "ckernel": {"scipy", "sklearn", "pandas"},
    "ui": {"pika", "pymongo", "boto3", "sqlite3"},
    # Figures and the HTML file serve the command line too, which needs no dashboard for them.
    "ui.report": {"pika", "pymongo", "boto3", "sqlite3", "streamlit"},
}
OURS = {"ckernel", "kmeans", "kmeans_client", "services", "ui"}


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for top in ("ckernel", "kmeans_client", "services", "ui")
        for path in sorted((ROOT / top).rglob("*.py"))
    }


def imported(module: str, path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; say where from"
            base = node.module or ""
            names.add(base)
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def within(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def rule_for(module: str, rules: dict[str, set[str]]) -> set[str] | None:
    matching = [prefix for prefix in rules if within(module, {prefix})]
    return rules[max(matching, key=len)] if matching else None


@pytest.mark.parametrize("module", modules())
def test_module_imports_only_what_its_layer_may(module: str) -> None:
    names = imported(module, modules()[module])
    ours = {name for name in names if name.split(".")[0] in OURS and name != "services"}
    allowed = rule_for(module, ALLOWED)
    if module == "services":
        allowed = set()
    assert allowed is not None, f"{module} has no rule: say in ALLOWED which layer it belongs to"
    assert {name for name in ours if not within(name, allowed)} == set()
    forbidden = rule_for(module, FORBIDDEN) or set()
    assert {name for name in names if within(name, forbidden)} == set()


def test_the_rules_point_one_way() -> None:
    seen: set[str] = set()

    def walk(layer: str, path: tuple[str, ...]) -> None:
        assert layer not in path, f"a circle: {' → '.join((*path, layer))}"
        seen.add(layer)
        for target in ALLOWED.get(layer, set()) - {layer}:
            walk(target, (*path, layer))

    for layer in ALLOWED:
        walk(layer, ())
    assert seen >= set(ALLOWED)


def test_no_module_is_named_after_nothing() -> None:
    vague = {"utils", "util", "helpers", "common", "misc", "shared"}
    assert [name for name in modules() if vague & set(name.split("."))] == []
