"""What the text of an option may be, for argparse's `type`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any


def at_least(least: int) -> Callable[[str], int]:
    """A whole number of at least `least`."""
    return number(least, kind=int)


def number(least: float = -math.inf, most: float = math.inf, kind: type[int] | type[float] = float) -> Callable[[str], Any]:
    """A finite number of that kind within the bounds."""

    def number(text: str) -> int | float:
        value = kind(text)
        if not least <= value <= most or not math.isfinite(value):
            unbounded = "a number" if least == -math.inf else f"at least {least:g}"
            bounds = f"{least:g} to {most:g}" if most < math.inf else unbounded
            raise argparse.ArgumentTypeError(f"found {text}, expected {bounds}")
        return value

    return number
