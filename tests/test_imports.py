"""Imports go one way: no module needs, at any time or for its types alone, one that needs it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
#: Folder: name of its package, and the folders whose packages it may import.
PACKAGES = {
    "runtime": ("intrinsic_flow", ()),
    "train": ("intrinsic_flow.train", ("runtime",)),
    "export": ("intrinsic_flow.export", ("runtime", "train")),
    "benchmarks": ("intrinsic_flow.benchmarks", ("runtime", "train", "export")),
}


def modules() -> dict[str, Path]:
    """Every module of the four packages by its name."""
    return {
        ".".join((name, *file.relative_to(REPOSITORY / folder).with_suffix("").parts)).removesuffix(".__init__"): file
        for folder, (name, _) in PACKAGES.items()
        for file in (REPOSITORY / folder).rglob("*.py")
    }


def imported(source: str, known: dict[str, Path]) -> Iterator[str]:
    """Modules of ours that a source imports: above, in functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            names = [name if name in known else str(node.module) for name in inner]
        else:
            continue
        yield from (name for name in names if name in known)


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """One cycle of a graph, its first node again at its end; nothing where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: {*imported(file.read_text("utf-8"), known)} - {name} for name, file in known.items()}


def test_no_import_leads_back_to_where_it_began(graph):
    assert len(graph) > 200
    assert cycle(graph) == []


def test_a_package_imports_those_before_it_alone(graph):
    known = modules()
    for name, targets in graph.items():
        folder = known[name].relative_to(REPOSITORY).parts[0]
        for target in targets:
            assert known[target].relative_to(REPOSITORY).parts[0] in (folder, *PACKAGES[folder][1]), f"{name} -> {target}"


def test_imports_for_types_and_those_in_functions_count():
    known = dict.fromkeys(("intrinsic_flow.a", "intrinsic_flow.b"), Path())
    lazy = "def use():\n    from intrinsic_flow.b import thing\n"
    typed = "if TYPE_CHECKING:\n    from intrinsic_flow import a\n"
    graph = {"intrinsic_flow.a": {*imported(lazy, known)}, "intrinsic_flow.b": {*imported(typed, known)}}
    assert set(cycle(graph)) == set(known)
