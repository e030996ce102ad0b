"""Decomposes a photo on a Triton server that serves a repository of `export.triton_repository`.

    python examples/triton_client.py photo.jpg
    python examples/triton_client.py photo.jpg --protocol grpc --url gpu-server:8001 --steps 8 -o results

The server computes; working resolution, padding, exposure, start noise and the product contract are the runtime's own,
here in the client: `TritonBackend` is a backend like any other, and the `Decomposer` runs on it. Needs the extra [serving]
and the bundle that the server serves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from intrinsic_flow.backends.base import Backend
from intrinsic_flow.decomposition.bundle import Bundle
from intrinsic_flow.decomposition.decomposer import DEFAULT_RESOLUTION, Decomposer
from intrinsic_flow.errors import InputError, MissingExtraError
from intrinsic_flow.media.images import read_image, write_image

Protocol = Literal["http", "grpc"]
PORTS: dict[Protocol, int] = {"http": 8000, "grpc": 8001}
LOOP = "decompose"
DTYPES = {"FP32": np.float32, "FP16": np.float16}


class TritonBackend(Backend):
    """Runs the graphs on a server, over HTTP or gRPC. Raises RuntimeError with the server's message where it refuses."""

    name = "triton"
    # Each strip is a request; at this size it stays far below the limits of gRPC and of proxies.
    strip_pixels = 1 << 20

    def __init__(self, url: str, protocol: Protocol = "http") -> None:
        """url: HOST:PORT. Raises MissingExtraError without the client's library, RuntimeError without the server."""
        try:
            if protocol == "http":
                import tritonclient.http as client
            else:
                import tritonclient.grpc as client
            from tritonclient.utils import InferenceServerException
        except ModuleNotFoundError as error:
            raise MissingExtraError("tritonclient", "serving") from error
        self._library, self._refused = client, (InferenceServerException, OSError)
        self._protocol, self._url = protocol, url
        self._client = client.InferenceServerClient(url)
        #: Of each model: its inputs' datatypes by name, its outputs' names.
        self._interfaces: dict[str, tuple[dict[str, str], list[str]]] = {}
        config = self._ask(lambda: self._client.get_model_config(LOOP, **self._as_json()))
        #: Euler steps of the server's own loop.
        self.steps = int(config.get("config", config)["parameters"]["steps"]["string_value"])

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One request to one model; float32 in and out, whatever the server's precision."""
        if graph not in self._interfaces:
            metadata = self._ask(lambda: self._client.get_model_metadata(graph, **self._as_json()))
            datatypes = {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]}
            self._interfaces[graph] = datatypes, [tensor["name"] for tensor in metadata["outputs"]]
        datatypes, names = self._interfaces[graph]
        inputs = []
        # A decoder that does not see the image has no such input.
        for name, values in ((name, values) for name, values in feeds.items() if name in datatypes):
            tensor = self._library.InferInput(name, list(values.shape), datatypes[name])
            tensor.set_data_from_numpy(np.ascontiguousarray(values, DTYPES[datatypes[name]]))
            inputs.append(tensor)
        outputs = [self._library.InferRequestedOutput(name) for name in names]
        result = self._ask(lambda: self._client.infer(graph, inputs, outputs=outputs))
        return {name: result.as_numpy(name).astype(np.float32) for name in names}

    def network(self, image: np.ndarray, noise: np.ndarray, steps: int) -> np.ndarray:
        """One request where the server's loop has this number of steps, else one for each part."""
        if steps == self.steps:
            return self.run(LOOP, {"image": image, "z": noise})["albedo"]
        return super().network(image, noise, steps)

    def describe(self) -> str:
        return f"Triton at {self._url} ({self._protocol})"

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def _as_json(self) -> dict[str, bool]:
        return {"as_json": True} if self._protocol == "grpc" else {}

    def _ask(self, call: Any) -> Any:
        try:
            return call()
        except self._refused as error:
            raise RuntimeError(f"{self.describe()}: {' '.join(str(error).split())}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="FOLDER", help="default: here")
    parser.add_argument("--protocol", choices=tuple(PORTS), default="http", help="default: %(default)s")
    parser.add_argument("--url", metavar="HOST:PORT", help="default: localhost, port 8000 for HTTP, 8001 for gRPC")
    parser.add_argument("--bundle", metavar="BUNDLE", help="the one that the server serves (default: the best shipped)")
    parser.add_argument("--steps", type=int, help="Euler steps (default: those of the server's loop, in one request)")
    parser.add_argument("--seed", type=int, default=0, help="of the start noise (default: %(default)s)")
    parser.add_argument(
        "--resolution", type=int, default=DEFAULT_RESOLUTION, help="short side in pixels (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        bundle, image = Bundle.load(options.bundle), read_image(options.image)
        backend = TritonBackend(options.url or f"localhost:{PORTS[options.protocol]}", options.protocol)
        settings = {"seed": options.seed, "resolution": options.resolution}
        with Decomposer(bundle, backend, steps=options.steps or backend.steps, **settings) as model:
            result = model.decompose(image.pixels)
        options.output.mkdir(parents=True, exist_ok=True)
        for layer, pixels in (("albedo", result.albedo), ("shading", result.shading)):
            path = options.output / f"{options.image.stem}_{layer}.exr"
            write_image(path, pixels, format="exr")
            print(path)
    except (InputError, MissingExtraError, OSError, RuntimeError, ValueError) as error:
        print(f"triton_client: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
