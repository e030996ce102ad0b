"""Triton Inference Server in this process, as strict as the real one: it loads a model repository, checks configurations
as server and backends do, and answers HTTP and gRPC of the KServe v2 protocol. ONNX Runtime computes.

The rules are those of the server's model_configuration.md and of the onnxruntime and python backends.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import grpc
import numpy as np
import onnxruntime
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

DTYPES = {"TYPE_FP32": np.float32, "TYPE_FP16": np.float16}
DATATYPES = {"TYPE_FP32": "FP32", "TYPE_FP16": "FP16"}
ORT_TYPES = {"tensor(float)": "TYPE_FP32", "tensor(float16)": "TYPE_FP16"}


class Refused(Exception):
    """What the server answers with an error, or does not load."""


def parse_config(path: Path) -> model_config_pb2.ModelConfig:
    """Raises `text_format.ParseError` on a field or value that the schema does not know."""
    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


def type_name(tensor: Any) -> str:
    return model_config_pb2.DataType.Name(tensor.data_type)


def check_config(config: model_config_pb2.ModelConfig, folder: Path) -> None:
    """The server's checks of a configuration before any backend sees it, and of the warm-up's data."""
    if config.name != folder.name:
        raise Refused(f"name {config.name} in folder {folder.name}")
    if config.HasField("dynamic_batching") and config.max_batch_size < 1:
        raise Refused(f"{config.name}: dynamic batching without a max_batch_size")
    if not any(path.name.isdigit() for path in folder.iterdir()):
        raise Refused(f"{config.name}: no version folder")
    for group in config.instance_group:
        if group.count < 1:
            raise Refused(f"{config.name}: no instance")
    for sample in config.model_warmup:
        if not 1 <= sample.batch_size <= max(config.max_batch_size, 1):
            raise Refused(f"{config.name}: warm-up with batch {sample.batch_size}")
        if set(sample.inputs) != {tensor.name for tensor in config.input}:
            raise Refused(f"{config.name}: warm-up of {sorted(sample.inputs)}")
        warmup_inputs(config, sample, folder)


def warmup_inputs(config: model_config_pb2.ModelConfig, sample: Any, folder: Path) -> dict[str, np.ndarray]:
    """The request that the server makes of a sample."""
    inputs = {}
    for tensor in config.input:
        made = sample.inputs[tensor.name]
        if made.data_type != tensor.data_type:
            raise Refused(f"{config.name}: warm-up type of {tensor.name}")
        dtype, shape = DTYPES[type_name(tensor)], tuple(made.dims)
        if made.WhichOneof("input_data_type") == "input_data_file":
            data = (folder / "warmup" / made.input_data_file).read_bytes()
            values = np.frombuffer(data, dtype).reshape(shape)
        else:
            values = np.zeros(shape, dtype)
        if config.max_batch_size:
            values = np.repeat(values[None], sample.batch_size, axis=0)
        inputs[tensor.name] = values
    return inputs


class OnnxModel:
    """A model of the onnxruntime backend."""

    def __init__(self, config: model_config_pb2.ModelConfig, folder: Path) -> None:
        path = folder / config.default_model_filename
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for kind, graph, stated in (
            ("input", self._session.get_inputs(), config.input),
            ("output", self._session.get_outputs(), config.output),
        ):
            tensors = {tensor.name: tensor for tensor in graph}
            if kind == "input" and len(stated) != len(tensors):
                raise Refused(f"{config.name}: {len(stated)} inputs, the graph has {len(tensors)}")
            for tensor in stated:
                if tensor.name not in tensors:
                    raise Refused(f"{config.name}: no {kind} {tensor.name}")
                found = tensors[tensor.name]
                if ORT_TYPES[found.type] != type_name(tensor):
                    raise Refused(f"{config.name}: {tensor.name} is {found.type}")
                shape = [side if isinstance(side, int) else -1 for side in found.shape]
                if config.max_batch_size:
                    if not shape or shape[0] != -1:
                        raise Refused(f"{config.name}: first dimension of {tensor.name} must be -1, is {shape}")
                    shape = shape[1:]
                if shape != list(tensor.dims):
                    raise Refused(f"{config.name}: {tensor.name} has dims {list(tensor.dims)}, the graph {shape}")
        self._outputs = [tensor.name for tensor in config.output]

    def execute(self, requests: Sequence[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        joined = {name: np.concatenate([request[name] for request in requests]) for name in requests[0]}
        if len(requests) == 1:
            joined = requests[0]
        try:
            results = self._session.run(self._outputs, joined)
        except Exception as error:
            raise Refused(str(error)) from error
        if len(requests) == 1:
            return [dict(zip(self._outputs, results))]
        ends = np.cumsum([len(next(iter(request.values()))) for request in requests])[:-1]
        parts = zip(*(np.split(result, ends) for result in results))
        return [dict(zip(self._outputs, part)) for part in parts]


class PythonModel:
    """A model of the python backend: the file alone, beside `triton_python_backend_utils`."""

    def __init__(self, config: model_config_pb2.ModelConfig, folder: Path, server: FakeTriton) -> None:
        self._utils, self._outputs = python_backend_utils(server), [tensor.name for tensor in config.output]
        spec = importlib.util.spec_from_file_location(f"triton_{config.name}", folder / config.default_model_filename)
        module = importlib.util.module_from_spec(spec)
        name = "triton_python_backend_utils"
        sys.modules[name] = self._utils
        try:
            spec.loader.exec_module(module)
        finally:
            del sys.modules[name]
        self._model = module.TritonPythonModel()
        as_json = json_format.MessageToJson(config, preserving_proto_field_name=True)
        self._model.initialize({"model_config": as_json, "model_name": config.name, "model_version": folder.name})

    def execute(self, requests: Sequence[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        utils = self._utils
        given = [
            utils.InferenceRequest("self", self._outputs, [utils.Tensor(name, values) for name, values in request.items()])
            for request in requests
        ]
        responses = self._model.execute(given)
        if not isinstance(responses, list) or len(responses) != len(requests):
            raise Refused("a response for each request is expected")
        results = []
        for response in responses:
            if response.has_error():
                raise Refused(response.error().message())
            results.append({tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()})
        return results


def python_backend_utils(server: FakeTriton) -> ModuleType:
    """The part of triton_python_backend_utils that models here may use."""
    utils = ModuleType("triton_python_backend_utils")

    class TritonModelException(Exception):
        pass

    class Exported:
        """A DLPack capsule on its way into NumPy."""

        def __init__(self, capsule: Any) -> None:
            self._capsule = capsule

        def __dlpack__(self, **_: Any) -> Any:
            return self._capsule

        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

    class Tensor:
        def __init__(self, name: str, values: np.ndarray) -> None:
            if type(name) is not str or type(values) is not np.ndarray:
                raise TypeError("Tensor(name: str, numpy array)")
            if not values.flags.c_contiguous:
                raise TritonModelException("only C-order contiguous arrays")
            self._name, self._values = name, values

        def name(self) -> str:
            return self._name

        def as_numpy(self) -> np.ndarray:
            return self._values

        def to_dlpack(self) -> Any:
            return self._values.__dlpack__()

        @staticmethod
        def from_dlpack(name: str, capsule: Any) -> Tensor:
            return Tensor(name, np.from_dlpack(Exported(capsule)))

    class PreferredMemory:
        def __init__(self, preferred_memory_type: int, preferred_device_id: int = 0) -> None:
            if preferred_memory_type not in (0, 1):
                raise ValueError(preferred_memory_type)

    class TritonError:
        def __init__(self, message: str) -> None:
            self._message = message

        def message(self) -> str:
            return self._message

    class InferenceResponse:
        def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
            if error is not None and not isinstance(error, TritonError):
                raise TypeError("error must be a TritonError")
            self._tensors, self._error = list(output_tensors), error

        def has_error(self) -> bool:
            return self._error is not None

        def error(self) -> TritonError | None:
            return self._error

        def output_tensors(self) -> list[Tensor]:
            return self._tensors

    class InferenceRequest:
        def __init__(
            self,
            model_name: str,
            requested_output_names: list[str],
            inputs: list[Tensor],
            preferred_memory: PreferredMemory | None = None,
        ) -> None:
            if not isinstance(inputs, list) or not all(isinstance(tensor, Tensor) for tensor in inputs):
                raise TypeError("inputs must be a list of Tensor")
            self._model, self._outputs, self._inputs = model_name, requested_output_names, inputs

        def inputs(self) -> list[Tensor]:
            return self._inputs

        def exec(self) -> InferenceResponse:
            try:
                results = server.infer(self._model, {tensor.name(): tensor.as_numpy() for tensor in self._inputs})
                return InferenceResponse([Tensor(name, results[name]) for name in self._outputs])
            except (Refused, KeyError) as error:
                return InferenceResponse(error=TritonError(str(error)))

    def find(tensors: list[Tensor], name: str) -> Tensor | None:
        return next((tensor for tensor in tensors if tensor.name() == name), None)

    utils.TRITONSERVER_MEMORY_CPU, utils.TRITONSERVER_MEMORY_GPU = 0, 1
    utils.get_input_tensor_by_name = lambda request, name: find(request.inputs(), name)
    utils.get_output_tensor_by_name = lambda response, name: find(response.output_tensors(), name)
    for kind in (TritonModelException, Tensor, PreferredMemory, TritonError, InferenceResponse, InferenceRequest):
        setattr(utils, kind.__name__, kind)
    return utils


class FakeTriton:
    """A repository, loaded: `tritonserver --model-repository`. `calls` counts the requests of each model."""

    def __init__(self, repository: Path) -> None:
        self.configs: dict[str, model_config_pb2.ModelConfig] = {}
        self.calls: dict[str, int] = {}
        self._models: dict[str, OnnxModel | PythonModel] = {}
        for folder in sorted(repository.iterdir()):
            config = parse_config(folder / "config.pbtxt")
            check_config(config, folder)
            version = max((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
            self.configs[folder.name] = config
            if config.backend == "python":
                self._models[folder.name] = PythonModel(config, version, self)
            else:
                assert config.backend == "onnxruntime"
                self._models[folder.name] = OnnxModel(config, version)

    def infer(self, model: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.infer_joined(model, [inputs])[0]

    def infer_joined(self, model: str, requests: Sequence[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        """What the dynamic batcher makes of requests that wait together. Raises Refused."""
        if model not in self.configs:
            raise Refused(f"unknown model {model}")
        config = self.configs[model]
        self.calls[model] = self.calls.get(model, 0) + 1
        batches = []
        for inputs in requests:
            if set(inputs) != {tensor.name for tensor in config.input}:
                raise Refused(f"{model}: inputs {sorted(inputs)}")
            for tensor in config.input:
                values = inputs[tensor.name]
                shape = values.shape[1:] if config.max_batch_size else values.shape
                fits = len(shape) == len(tensor.dims) and all(d in (-1, side) for d, side in zip(tensor.dims, shape))
                if not fits or values.dtype != DTYPES[type_name(tensor)]:
                    raise Refused(f"{model}: {tensor.name} {values.dtype} {values.shape}, expected {list(tensor.dims)}")
            sizes = {len(values) for values in inputs.values()}
            if config.max_batch_size and len(sizes) > 1:
                raise Refused(f"{model}: inputs of different batches {sizes}")
            batches.append(max(sizes))
        if config.max_batch_size and sum(batches) > config.max_batch_size:
            raise Refused(f"{model}: batch {sum(batches)}, the largest is {config.max_batch_size}")
        if len(requests) > 1:
            shapes = {tuple((name, values.shape[1:]) for name, values in sorted(inputs.items())) for inputs in requests}
            if not config.HasField("dynamic_batching") or len(shapes) > 1:
                raise Refused(f"{model}: requests that do not join")
        return self._models[model].execute(requests)

    def metadata(self, model: str) -> dict[str, Any]:
        config = self.configs[model]
        batch = [-1] if config.max_batch_size else []

        def tensors(stated: Any) -> list[dict[str, Any]]:
            return [{"name": t.name, "datatype": DATATYPES[type_name(t)], "shape": [*batch, *t.dims]} for t in stated]

        return {"name": model, "inputs": tensors(config.input), "outputs": tensors(config.output)}


@contextmanager
def http_server(server: FakeTriton) -> Iterator[str]:
    """Serves over HTTP with the binary tensor extension; yields HOST:PORT."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            model, *what = self.path.removeprefix("/v2/models/").split("/")
            if model not in server.configs:
                self._send(400, json.dumps({"error": f"unknown model {model}"}).encode())
            elif what == ["config"]:
                text = json_format.MessageToJson(server.configs[model], preserving_proto_field_name=True)
                self._send(200, text.encode())
            else:
                self._send(200, json.dumps(server.metadata(model)).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            header = int(self.headers["Inference-Header-Content-Length"])
            request, data = json.loads(body[:header]), body[header:]
            model = self.path.removeprefix("/v2/models/").removesuffix("/infer")
            inputs = {}
            for tensor in request["inputs"]:
                size = tensor["parameters"]["binary_data_size"]
                dtype = {"FP32": np.float32, "FP16": np.float16}[tensor["datatype"]]
                inputs[tensor["name"]] = np.frombuffer(data[:size], dtype).reshape(tensor["shape"])
                data = data[size:]
            try:
                if data:
                    raise Refused(f"{len(data)} bytes too many")
                results = server.infer(model, inputs)
            except Refused as error:
                self._send(400, json.dumps({"error": str(error)}).encode())
                return
            datatypes = {tensor["name"]: tensor["datatype"] for tensor in server.metadata(model)["outputs"]}
            outputs, binary = [], b""
            for output in request["outputs"]:
                values = results[output["name"]]
                assert output["parameters"]["binary_data"]
                outputs.append(
                    {
                        "name": output["name"],
                        "datatype": datatypes[output["name"]],
                        "shape": list(values.shape),
                        "parameters": {"binary_data_size": values.nbytes},
                    }
                )
                binary += values.tobytes()
            answer = json.dumps({"model_name": model, "outputs": outputs}).encode()
            self._send(200, answer + binary, {"Inference-Header-Content-Length": str(len(answer))})

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.server_port}"
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


@contextmanager
def grpc_server(server: FakeTriton) -> Iterator[str]:
    """Serves over gRPC with raw tensors; yields HOST:PORT."""

    class Service(service_pb2_grpc.GRPCInferenceServiceServicer):
        def ModelConfig(self, request: Any, context: Any) -> Any:
            self._known(request, context)
            return service_pb2.ModelConfigResponse(config=server.configs[request.name])

        def ModelMetadata(self, request: Any, context: Any) -> Any:
            self._known(request, context)
            return json_format.ParseDict(server.metadata(request.name), service_pb2.ModelMetadataResponse())

        def ModelInfer(self, request: Any, context: Any) -> Any:
            inputs = {}
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
                dtype = {"FP32": np.float32, "FP16": np.float16}[tensor.datatype]
                inputs[tensor.name] = np.frombuffer(raw, dtype).reshape(tensor.shape)
            try:
                results = server.infer(request.model_name, inputs)
            except Refused as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            datatypes = {tensor["name"]: tensor["datatype"] for tensor in server.metadata(request.model_name)["outputs"]}
            response = service_pb2.ModelInferResponse(model_name=request.model_name)
            for output in request.outputs:
                values = results[output.name]
                response.outputs.add(name=output.name, datatype=datatypes[output.name], shape=values.shape)
                response.raw_output_contents.append(values.tobytes())
            return response

        def _known(self, request: Any, context: Any) -> None:
            if request.name not in server.configs:
                context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model {request.name}")

    size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    listener = grpc.server(ThreadPoolExecutor(2), options=size)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Service(), listener)
    port = listener.add_insecure_port("127.0.0.1:0")
    listener.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        listener.stop(None).wait()


SERVERS = SimpleNamespace(http=http_server, grpc=grpc_server)
