"""ONNX Runtime on the CPU: the backend that runs everywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np

from intrinsic_flow.backends.base import Backend
from intrinsic_flow.backends.onnxruntime_session import check_interface
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.errors import InputError, MissingExtraError


class OnnxRuntimeCpu(Backend):
    """Runs the FP32 graphs on ONNX Runtime's CPU provider.

    FP32, because the provider has few FP16 kernels: FP16 graphs take about 1.7 times as long there. A graph is loaded
    on its first run; all of them share one thread pool size.

    Tuning: `threads` at the number of physical cores is the fastest for one picture at a time; leave some free when
    decoding and encoding video beside it. Idle threads sleep: waiting actively would keep the cores busy between frames and
    gain nothing when they follow back to back.
    """

    name = "cpu"
    #: ONNX Runtime's name of what runs the graphs.
    provider = "CPUExecutionProvider"
    on_cpu = True

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        """threads: within an operator; None lets ONNX Runtime take the cores this process may use."""
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingExtraError("onnxruntime", "cpu") from error
        if threads is not None and threads < 1:
            raise ValueError(f"threads {threads}, expected at least 1")
        self._onnxruntime = onnxruntime
        self._bundle = bundle
        self._threads = _usable_threads() if threads is None else threads
        self._sessions: dict[str, Any] = {}
        self._loading = Lock()
        self._single: OnnxRuntimeCpu | None = None
        self._closed = False

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph on float32 inputs. Raises InputError when the graph's file cannot be loaded."""
        with self._loading:
            session = self._sessions.get(graph)
            if session is None:
                session = self._sessions[graph] = self._load(graph)
        spec = self._bundle.spec(graph)
        results = session.run(list(spec.output_names), {name: feeds[name] for name in spec.input_names})
        return dict(zip(spec.output_names, results, strict=True))

    def parallel(self) -> Backend | None:
        """Sessions of one thread, loaded beside these; sessions may be run by several threads."""
        if self._threads == 1:
            return self
        if self._single is None:
            self._single = type(self)(self._bundle, threads=1)
        return self._single

    def describe(self) -> str:
        threads = f"threads {self._threads}" if self._threads else "threads by default"
        return f"ONNX Runtime {self._onnxruntime.__version__}, {self.provider}, fp32, {threads}"

    def close(self) -> None:
        """Drops the sessions and with them weights and thread pools."""
        self._sessions.clear()
        if self._single is not None:
            self._single.close()
        self._closed = True

    def _load(self, graph: str) -> Any:
        if self._closed:
            raise RuntimeError("the backend is closed")
        ort = self._onnxruntime
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Only errors: the runtime's warnings on constant folding concern whoever builds graphs, not who runs them.
        options.log_severity_level = 3
        path = self._bundle.path(graph)
        try:
            session = ort.InferenceSession(os.fspath(path), options, providers=self._select(options))
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            reason = " ".join(str(error).split())
            raise InputError(path, f"a graph that does not load ({reason})", "an intact bundle") from error
        spec = self._bundle.spec(graph)
        check_interface([tensor.name for tensor in (*session.get_inputs(), *session.get_outputs())], spec, path)
        if session.get_providers()[0] != self.provider:
            raise RuntimeError(
                f"ONNX Runtime chose {session.get_providers()[0]} for {path.name}, asked for {self.provider}"
            )
        return session

    def _select(self, options: Any) -> list[str] | None:
        """The providers to ask for; None where they were added to the session's options."""
        return [self.provider]


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _usable_threads() -> int:
    """0 (ONNX Runtime's own choice: the physical cores), or the cores of a process that is confined to fewer."""
    usable = usable_cores()
    return usable if usable < (os.cpu_count() or 1) else 0
