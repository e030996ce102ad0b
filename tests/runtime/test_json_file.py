"""JSON files checked by a schema: what passes, and the one line for what does not."""

from __future__ import annotations

import pytest

from intrinsic_flow.errors import InputError
from intrinsic_flow.json_file import (
    MAX_BYTES,
    SHA256,
    anything,
    flag,
    list_of,
    mapping,
    number,
    one_of,
    optional,
    read_json,
    record,
    text,
    whole,
)  # fmt: skip

SCHEMA = record(
    version=one_of(1),
    name=text("[a-z]+", "a name"),
    sizes=list_of(whole(1, 9), length=2),
    gain=number(0),
    files=mapping(text(), record(others=True, sha256=SHA256)),
    on=flag,
    gpu=optional(text()),
    more=anything,
)
GOOD = (
    '{"version": 1, "name": "ab", "sizes": [1, 9], "gain": 0.5, "files": {"x": {"sha256": "' + "0" * 64 + '", "b": 1}}, '
    '"on": true, "gpu": null, "more": [[]]}'
)


def found(tmp_path, content: str | bytes) -> str:
    path = tmp_path / "x.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as error:
        read_json(path, SCHEMA, "a test's file")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert error.value.expected.endswith("in a test's file")
    return error.value.found


def test_what_the_schema_says_passes(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(GOOD)
    assert read_json(path, SCHEMA, "it")["sizes"] == [1, 9]
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json", SCHEMA, "it")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('"version": 1', '"version": true', "version true"),
        ('"version": 1', '"version": 1.0', "version 1.0"),
        ('"ab"', '"AB"', 'name "AB"'),
        ("[1, 9]", "[1]", "sizes [1]"),
        ("[1, 9]", "[1, 10]", "sizes[1] 10"),
        ("[1, 9]", "[1, 2.0]", "sizes[1] 2.0"),
        ("0.5", "-1", "gain -1"),
        ("0.5", "NaN", "nan"),
        ("0.5", "1e999", "inf"),
        ("0.5", "1" + "0" * 400, "a number of 1329 bits"),
        ("0.5", "1" + "0" * 5000, "no JSON (a number of too many digits)"),
        ('"0000', '"000', 'files.x.sha256 "000'),
        ("true", "0", "on 0"),
        ("null", "3", "gpu 3"),
        ('"on": true, ', "", "no on"),
        ('"on"', '"off": 1, "on"', "off"),
        ("[[]]", '"\\u0000"', "text '\\x00'"),
        ("[[]]", '{"\\ud800": 1}', "text '\\ud800'"),
        ("[[]]", "[" * 100_000 + "]" * 100_000, "JSON of more levels"),
        (GOOD, "5", "5"),
        (GOOD, "", "no JSON"),
        (GOOD, "[" + "1," * (MAX_BYTES // 2) + "1]", "more than 16 MB"),
    ],
)
def test_anything_else_is_named_with_its_place(tmp_path, old, new, place):
    assert old in GOOD
    assert found(tmp_path, GOOD.replace(old, new, 1)).startswith(place)


def test_bytes_that_are_no_text_are_no_json(tmp_path):
    assert found(tmp_path, b"\xff\xfe{}").startswith("no JSON")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="directory"):
        read_json(tmp_path, SCHEMA, "it")
