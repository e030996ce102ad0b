"""The error of a build that cannot be done, one line."""

from __future__ import annotations


class BuildError(Exception):
    """No engine can be built; the message says what was found and what is needed."""
