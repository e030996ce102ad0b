"""TensorRT's messages, for the exception that follows them."""

from __future__ import annotations

from typing import Any


def error_log(trt: Any) -> Any:
    """A logger of TensorRT's module `trt` that keeps the errors."""

    class ErrorLog(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self._lines.append(" ".join(message.split()))

        def forget(self) -> None:
            self._lines.clear()

        def text(self, otherwise: object = "TensorRT gives no reason") -> str:
            """The last errors; `otherwise` where there is none."""
            return "; ".join(dict.fromkeys(self._lines[-3:])) or str(otherwise)

    return ErrorLog()
