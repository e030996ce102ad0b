"""Which other files an ONNX graph reads its weights from, found without the onnx package.

ONNX Runtime before 1.24 reads any file that a tensor's `external_data` names, wherever it lies, and later versions have had
gaps. So the names are looked at before a graph is opened: https://onnx.ai/onnx/repo-docs/ExternalData.html.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from intrinsic_flow.errors import InputError

# Where messages of onnx.proto3 hold tensors, by field number: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_EXPECTED = "an ONNX graph"


def external_files(graph: str | os.PathLike[str]) -> set[str]:
    """The `location` of all external data in a graph's file. Raises InputError for what is no ONNX file."""
    try:
        data = memoryview(Path(graph).read_bytes())
    except OSError as error:
        raise InputError(graph, error.strerror or str(error), _EXPECTED) from error
    found: set[str] = set()
    waiting = [("model", data)]
    try:
        while waiting:
            kind, message = waiting.pop()
            if kind == "entry":
                found |= _location(message)
                continue
            inside = _INSIDE[kind]
            waiting += [(inside[number], value) for number, value in _fields(message) if number in inside]
    except (ValueError, IndexError) as error:
        raise InputError(graph, f"no ONNX file ({error})", _EXPECTED) from error
    return found


def _location(entry: memoryview) -> set[str]:
    """Of a StringStringEntryProto whose key is "location" all values: which of several counts, readers differ."""
    fields = [(number, bytes(value)) for number, value in _fields(entry)]
    keys = {value for number, value in fields if number == 1}
    return {value.decode("utf-8", "surrogateescape") for number, value in fields if number == 2 and b"location" in keys}


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of the fields that have a length. https://protobuf.dev/programming-guides/encoding/"""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, at = _varint(message, at)
        elif wire == 1:
            at += 8
        elif wire == 5:
            at += 4
        elif wire == 2:
            length, at = _varint(message, at)
            if length > len(message) - at:
                raise ValueError("a field beyond the end")
            yield number, message[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {wire}")
    if at > len(message):
        raise ValueError("a field beyond the end")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
