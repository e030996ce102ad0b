"""The command `python -m runtime.app`, and the recipe for a public Space."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from intrinsic_flow.app import main

REPOSITORY = Path(__file__).parents[3]
SPACE = REPOSITORY / "examples" / "space"


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_importing_the_runtime_and_the_command_loads_no_gradio():
    result = run_python("import intrinsic_flow.app, sys; print('gradio' in sys.modules, 'torch' in sys.modules)")
    assert result.stdout.split() == ["False", "False"], result.stderr


def test_without_gradio_one_line_names_the_extra():
    result = run_python("import sys; sys.modules['gradio'] = None; from intrinsic_flow.app import main; sys.exit(main([]))")
    assert result.returncode == 2
    assert result.stderr == 'error: gradio is not installed: pip install "intrinsic-flow[demo]"\n'


def test_a_taken_port_is_one_line(capsys):
    pytest.importorskip("gradio", reason='needs the extra: pip install "intrinsic-flow[demo]"')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"error: cannot listen on 127.0.0.1:{port} (")


def test_a_missing_bundle_is_one_line(capsys, tmp_path):
    pytest.importorskip("gradio", reason='needs the extra: pip install "intrinsic-flow[demo]"')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert main(["--port", str(port), "--bundle", str(tmp_path / "none")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and str(tmp_path / "none") in lines[0]


@pytest.mark.parametrize(
    "arguments", [["--port", "0"], ["--max-megapixels", "0"], ["--max-seconds", "-1"], ["--queue", "0"], ["--backend", "x"]]
)
def test_wrong_usage_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_the_space_builds_its_page(monkeypatch):
    gradio = pytest.importorskip("gradio", reason='needs the extra: pip install "intrinsic-flow[demo]"')
    monkeypatch.setenv("GRADIO_TEMP_DIR", "unset")  # so that what the page sets ends with the test
    spec = importlib.util.spec_from_file_location("space_app", SPACE / "app.py")
    space = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(space)
    assert isinstance(space.demo, gradio.Blocks)
    assert space.settings.max_megapixels <= 24


def test_the_space_names_this_version_and_a_gradio_that_the_package_accepts():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    requirements = (SPACE / "requirements.txt").read_text().splitlines()
    assert f"./intrinsic_flow-{project['version']}-py3-none-any.whl" in requirements
    assert set(project["optional-dependencies"]["cpu"]) <= set(requirements)
    _, front, body = (SPACE / "README.md").read_text().split("---\n", 2)
    values = dict(re.match(r"(\w+): (.*)", line).groups() for line in front.splitlines())
    assert values["sdk"] == "gradio" and (SPACE / values["app_file"]).is_file()
    assert values["license"] == project["license"].lower()
    assert f">={values['python_version'].strip(chr(34))}" == project["requires-python"]
    accepted = next(text for text in project["optional-dependencies"]["demo"] if text.startswith("gradio"))
    from packaging.requirements import Requirement

    assert Requirement(accepted).specifier.contains(values["sdk_version"])
    source = (SPACE / "app.py").read_text()
    for value in re.findall(r"max_megapixels=(\d+), max_seconds=(\d+), queue=(\d+)", source)[0]:
        assert f" {value} " in body
