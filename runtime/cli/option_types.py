"""What the text of an option may be, for argparse's `type`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any


def at_least(least: int) -> Callable[[str], int]:
    """A whole number of at least `least`."""
    return number(least, kind=int)


def number(least: float, most: float = math.inf, kind: type[int] | type[float] = float) -> Callable[[str], Any]:
    """A number of that kind within the bounds."""

    def number(text: str) -> int | float:
        value = kind(text)
        if not least <= value <= most:
            bounds = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
            raise argparse.ArgumentTypeError(f"found {text}, expected {bounds}")
        return value

    return number
