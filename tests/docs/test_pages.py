"""README and pages name commands, options, files and headings that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
    for path in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md")))
}
README = PAGES["README.md"]
LARGEST_README = 14_000
# What --help says of every command, as tests/docs/test_commands.py makes sure.
HELP = dict(re.findall(r"(?ms)^## (\S+)\n\n```text\n(.*?)\n```", PAGES["docs/commands.md"]))
WRITTEN = {name: text for name, text in PAGES.items() if name != "docs/commands.md"}


def anchors(text: str) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    prose = re.sub(r"(?ms)^```.*?^```", "", text)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^#+ (.*)$", prose)}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings(name):
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", PAGES[name]):
        file, _, heading = link.partition("#")
        target = (REPOSITORY / name).parent / file if file else REPOSITORY / name
        assert target.exists(), link
        if heading:
            assert heading in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", WRITTEN)
def test_command_lines_name_commands_and_options_that_exist(name):
    text = WRITTEN[name].replace("\\\n", " ")
    assert set(re.findall(r"-m ((?:runtime|train|export|benchmarks)\.[\w.]*\w)", text)) <= set(HELP)
    for module, rest in re.findall(r"^\S*python -m (\S+)(.*)$", text, re.MULTILINE):
        for option in re.findall(r"(?<!\S)(--?[a-z][\w-]*)", rest.split("#")[0]) if module in HELP else ():
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", HELP[module]), f"{module} {option}"


def test_every_command_has_two_examples():
    assert len(HELP) >= 19
    for module, text in HELP.items():
        assert text.count(f"python -m {module}") >= 2, module


def test_every_option_of_the_table_exists():
    options = set(re.findall(r"(?<![\w-])--[a-z]+", README.split("## Use")[1].split("## ")[0]))
    assert len(options) >= 12
    for option in options:
        assert option in HELP["runtime.decompose"]


@pytest.mark.parametrize("name", WRITTEN)
def test_files_that_a_page_names_are_there(name):
    for path in re.findall(r"(examples/\w+\.png|train/recipes/\w+\.yaml)", WRITTEN[name]):
        assert (REPOSITORY / path).is_file(), path


def test_the_front_page_is_short():
    assert len(README.encode()) <= LARGEST_README
