"""The figure of the networks shows the configurations as they are."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from intrinsic_flow.train.networks.config import CONFIGS

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "docs" / "networks.py"


def test_the_figure_is_current():
    result = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr


def test_the_figure_states_the_widths_of_small_and_base():
    texts = [element.text for element in ET.parse(REPOSITORY / "docs" / "networks.svg").iter() if element.text]
    for field in ("encoder_widths", "unet_widths", "decoder_widths", "vae_encoder_widths"):
        for small, base in zip(getattr(CONFIGS["small"], field), getattr(CONFIGS["base"], field), strict=True):
            assert any(f"{small} | {base}" in text for text in texts), (field, small, base)
