"""TensorRT's published API as its bindings state it, read without a GPU and without TensorRT's libraries.

    python -m tests.runtime.backends.tensorrt_api          # writes tensorrt_api.json anew; needs pip, cc and nm

The bindings' wheels on PyPI hold no TensorRT, but every class, method, argument and enumeration of their version: they
load over empty libraries that define the few functions which the bindings call, and say what they have by themselves.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")
# The first and the last of both major versions that are supported.
VERSIONS = ("10.12.0.36", "10.16.1.11", "11.0.0.114", "11.4.0.106")
CLASSES = (
    *("Builder", "IBuilderConfig", "INetworkDefinition", "ITensor", "ILayer", "IOptimizationProfile", "ITimingCache"),
    *("OnnxParser", "ParserError", "ILogger", "IProgressMonitor", "IHostMemory", "EngineInspector"),
    *("Runtime", "ICudaEngine", "IExecutionContext", "IRuntimeConfig"),
)
ENUMERATIONS = (
    *("BuilderFlag", "NetworkDefinitionCreationFlag", "HardwareCompatibilityLevel", "ProfilingVerbosity", "LayerType"),
    *("LayerInformationFormat", "DataType", "TensorIOMode", "DynamicShapesKernelSpecializationStrategy"),
)


def published() -> dict[str, dict]:
    """By version: {"classes": {name: {"methods": {name: [[argument, ...] of each overload]}, "attributes": [name]}},
    "enumerations": {name: {member: value}}}; "argument=" has a default."""
    return json.loads(FILE.read_text())


def differences(fake, api: dict) -> list[str]:
    """What of a fake module the published API has not: classes, methods with other arguments, attributes, members."""
    found = []
    for name, kind in vars(fake).items():
        if name in api["enumerations"]:
            members = api["enumerations"][name]
            found += [f"{name}.{member}" for member in kind.__members__ if member not in members]
        elif name in api["classes"]:
            found += _differences(name, kind, api["classes"][name])
            if name == "ILogger":
                severities = api["enumerations"]["ILogger.Severity"]
                found += [f"ILogger.{member}" for member in kind.Severity.__members__ if member not in severities]
        elif isinstance(kind, type):
            found.append(name)
    return found


def _differences(name: str, kind: type, api: dict) -> list[str]:
    found = [f"{name}.{attribute}" for attribute in getattr(kind, "allowed", ()) if attribute not in api["attributes"]]
    for member, value in vars(kind).items():
        if isinstance(value, property) or member.startswith("num_"):
            if member not in api["attributes"]:
                found.append(f"{name}.{member}")
        elif inspect.isfunction(value) and not member.startswith("_"):
            ours = [
                text.name + "=" * (text.default is not text.empty) for text in inspect.signature(value).parameters.values()
            ][1:]
            if not any(_takes(overload, ours) for overload in api["methods"].get(member, [])):
                found.append(f"{name}.{member}({', '.join(ours)}), published {api['methods'].get(member)}")
    return found


def _takes(overload: list[str], ours: list[str]) -> bool:
    """Whether our arguments are those of an overload, by name and order; the last of an overload may be left out."""
    rest = overload[len(ours) :]
    return overload[: len(ours)] == ours and all(argument.endswith("=") for argument in rest)


def describe(trt) -> dict[str, dict]:
    """The same of a module that is loaded."""
    enumerations = {name: getattr(trt, name) for name in ENUMERATIONS if hasattr(trt, name)}
    enumerations["ILogger.Severity"] = trt.ILogger.Severity
    return {
        "classes": {name: _class(getattr(trt, name)) for name in CLASSES if hasattr(trt, name)},
        "enumerations": {
            name: {member: int(value) for member, value in kind.__members__.items()} for name, kind in enumerations.items()
        },
    }


def _class(kind: type) -> dict:
    methods, attributes = {}, []
    for name in sorted(set(dir(kind)) - set(dir(object)) | {"__init__"}):
        member = inspect.getattr_static(kind, name)
        if isinstance(member, property):
            attributes.append(name)
        elif callable(getattr(kind, name)) and (name == "__init__" or not name.startswith("_")):
            methods[name] = _overloads(name, getattr(kind, name).__doc__ or "")
    return {"methods": methods, "attributes": attributes}


def _overloads(name: str, documentation: str) -> list[list[str]]:
    """Arguments after `self` from pybind11's first lines: "run(self: trt.A, shape: trt.Dims, stream: int = 0) -> bool"."""
    found = re.findall(rf"^(?:\d+\. )?{name}\((.*)\) -> ", documentation, re.MULTILINE)
    overloads = []
    for text in found:
        while (flat := re.sub(r"\[[^\[\]]*\]|\([^()]*\)|<[^<>]*>", "", text)) != text:
            text = flat
        arguments = [part.strip() for part in text.split(",") if part.strip()]
        overloads.append([re.split(r"[:=]", part)[0].strip() + ("=" if "=" in part else "") for part in arguments[1:]])
    return overloads


def read(version: str) -> dict[str, dict]:
    """Downloads the bindings of a version and describes them in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", temporary]
        subprocess.run([*command, f"tensorrt-cu12-bindings=={version}"], check=True)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            wheel.extractall(folder)
        library = folder / "tensorrt_bindings" / "tensorrt.so"
        symbols = subprocess.run(["nm", "-D", "--undefined-only", library], check=True, capture_output=True, text=True)
        own = re.findall(r" U ((?:create|get|init)\w*(?:Nv|Infer|Plugin|Parser)\w*)$", symbols.stdout, re.MULTILINE)
        (folder / "empty.c").write_text("".join(f"int {name}(void) {{ return 0; }}\n" for name in own))
        for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
            file = f"lib{name}.so.{version.split('.')[0]}"
            build = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{file}", "-o", folder / file, folder / "empty.c"]
            subprocess.run(build, check=True)
        program = (
            "import json, sys; sys.path.insert(0, sys.argv[1]); import tensorrt_bindings;"
            "from tests.runtime.backends.tensorrt_api import describe;"
            "assert tensorrt_bindings.__version__ == sys.argv[2]; print(json.dumps(describe(tensorrt_bindings)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, temporary, version],
            check=True, capture_output=True, text=True, env={"LD_LIBRARY_PATH": temporary},
        )  # fmt: skip
        return json.loads(done.stdout)


if __name__ == "__main__":
    lines = [f'"{version}":{json.dumps(read(version), separators=(",", ":"))}' for version in VERSIONS]
    FILE.write_text("{" + ",\n".join(lines) + "}\n")
