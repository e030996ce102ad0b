from __future__ import annotations

import subprocess
import sys

import pytest

from intrinsic_flow.train.rendering.tracing import llvm
from intrinsic_flow.train.rendering.tracing.llvm import LlvmError, find_library


@pytest.fixture
def no_variable(monkeypatch):
    monkeypatch.delenv(llvm.VARIABLE, raising=False)


def test_missing_library_names_the_package(no_variable, tmp_path):
    with pytest.raises(LlvmError, match=r"found none, expected LLVM 17 or newer: install .* libllvm19"):
        find_library([tmp_path])


def test_old_libraries_are_named(no_variable, tmp_path):
    for name in ("libLLVM-14.so.1", "libLLVM-15.so"):
        (tmp_path / name).touch()
    with pytest.raises(LlvmError, match=r"found only LLVM 14, 15, .*libllvm19"):
        find_library([tmp_path])


def test_the_newest_library_that_loads_is_taken(no_variable, tmp_path, monkeypatch):
    versions = {"libLLVM.so.18.1": 18, "libLLVM.so.19.1": 19, "libLLVM-20.so": None}
    for name in versions:
        (tmp_path / name).touch()
    monkeypatch.setattr(llvm, "library_version", lambda path: versions[path.name])
    assert find_library([tmp_path]).name == "libLLVM.so.19.1"


@pytest.mark.parametrize(("version", "found"), [(None, "no LLVM library there"), (15, "LLVM 15")])
def test_a_useless_variable_is_named(monkeypatch, tmp_path, version, found):
    monkeypatch.setenv(llvm.VARIABLE, str(tmp_path / "libLLVM.so"))
    monkeypatch.setattr(llvm, "library_version", lambda path: version)
    with pytest.raises(LlvmError, match=rf"DRJIT_LIBLLVM_PATH=.*libLLVM.so: found {found}, .*libllvm19"):
        find_library()


def test_a_file_that_is_no_library_has_no_version(tmp_path):
    (tmp_path / "libLLVM.so").write_text("text")
    assert llvm.library_version(tmp_path / "libLLVM.so") is None


@pytest.mark.usefixtures("backend")
def test_the_library_that_is_used_tells_its_version():
    assert llvm.library_version(find_library()) >= llvm.OLDEST_MAJOR


def test_the_command_says_it_in_one_line_without_a_library(tmp_path):
    command = [sys.executable, "-m", "train.render", "-o", str(tmp_path / "out"), "--views", "1"]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={"DRJIT_LIBLLVM_PATH": str(tmp_path / "none.so"), "PATH": ""},
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "libllvm19" in result.stderr
    assert not (tmp_path / "out").exists()
