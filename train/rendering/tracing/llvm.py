"""Finds an LLVM library that Mitsuba's CPU backend works with, and starts the backend.

Dr.Jit compiles its kernels with LLVM, which neither its wheel nor Mitsuba's contains. Versions 14 to 16 abort on the
kernels of this renderer; 17 and later work.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable
from pathlib import Path

from intrinsic_flow.errors import MissingExtraError

VARIABLE = "DRJIT_LIBLLVM_PATH"
OLDEST_MAJOR = 17
VARIANT = "llvm_ad_rgb"

_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    *(f"/usr/lib/llvm-{major}/lib" for major in range(24, OLDEST_MAJOR - 1, -1)),
    "/opt/homebrew/opt/llvm/lib",
    "/usr/local/opt/llvm/lib",
)
_ADVICE = (
    f"expected LLVM {OLDEST_MAJOR} or newer: install the Debian or Ubuntu package libllvm19 (Fedora: llvm-libs, "
    f"Homebrew: llvm) or set {VARIABLE} to its libLLVM.so.19.1"
)


class LlvmError(RuntimeError):
    """No usable LLVM library. One line: what was found, which package has it."""


def library_version(path: Path) -> int | None:
    """Major version of an LLVM shared library, asked of the library itself; None where it cannot be loaded or asked."""
    try:
        function = ctypes.CDLL(str(path)).LLVMGetVersion
    except (OSError, AttributeError):
        return None
    parts = [ctypes.c_uint() for _ in range(3)]
    function(*(ctypes.byref(part) for part in parts))
    return parts[0].value


def _named_version(path: Path) -> int:
    """Major version by the file's name (libLLVM-19.so, libLLVM.so.19.1), 0 where it has none."""
    numbers = re.search(r"libLLVM[-.](?:so\.)?(\d+)", path.name)
    return int(numbers.group(1)) if numbers else 0


def find_library(folders: Iterable[str | Path] = _FOLDERS) -> Path:
    """The newest LLVM library by name in `folders`, or what the environment variable DRJIT_LIBLLVM_PATH names.

    LlvmError: the variable names no usable library, or none of OLDEST_MAJOR or newer is installed.
    """
    if chosen := os.environ.get(VARIABLE):
        version = library_version(Path(chosen))
        if version is None or version < OLDEST_MAJOR:
            found = "no LLVM library there" if version is None else f"LLVM {version}"
            raise LlvmError(f"{VARIABLE}={chosen}: found {found}, {_ADVICE}")
        return Path(chosen)
    candidates = {
        path: _named_version(path)
        for folder in folders
        for pattern in ("libLLVM*.so*", "libLLVM*.dylib")
        for path in Path(folder).glob(pattern)
    }
    for path in sorted(candidates, key=lambda path: (-candidates[path], str(path))):
        # A name without a number may be any version; one with an old number need not be loaded.
        if (candidates[path] or OLDEST_MAJOR) >= OLDEST_MAJOR and (library_version(path) or 0) >= OLDEST_MAJOR:
            return path
    old = sorted({version for version in candidates.values() if version})
    found = f"only LLVM {', '.join(map(str, old))}" if old else "none"
    raise LlvmError(f"LLVM library: found {found}, {_ADVICE}")


def start_backend(threads: int = 1) -> None:
    """Import Mitsuba with its LLVM backend, computing on `threads` threads. Call it before the modules that use mitsuba.

    MissingExtraError: mitsuba is not installed. LlvmError: no usable LLVM library.
    """
    os.environ[VARIABLE] = str(find_library())
    try:
        import drjit
        import mitsuba
    except ImportError:
        raise MissingExtraError("mitsuba", "render") from None
    mitsuba.set_variant(VARIANT)
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    drjit.set_thread_count(threads)
