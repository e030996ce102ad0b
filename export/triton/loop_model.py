"""The flow's loop as a model of Triton's Python backend: encoder, Euler steps, decoder, each a model of the same server.

`export.triton_repository` copies this file into the repository as model.py; the server imports it there, with a Python
that has NumPy and nothing of this project. (Business logic scripting: python_backend's README.)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

FEATURES = ("feature_8", "feature_16", "feature_32")


class TritonPythonModel:
    """image (B, 3, H, W), start noise z (B, 12, H / 8, W / 8) -> albedo (B, 3, H, W)."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads from the model's configuration how many steps there are, and what the decoder takes: z, or z and image."""
        parameters = json.loads(args["model_config"])["parameters"]
        self._steps = int(parameters["steps"]["string_value"])
        self._decoder_inputs = parameters["decoder_inputs"]["string_value"].split()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers the requests that the dynamic batcher has gathered, all of one shape, with one pass of the loop.

        Joined here, because the step cannot be: its t and dt have no batch dimension.
        """
        images, noises = (
            [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests] for name in ("image", "z")
        )
        try:
            albedo = self._unroll(np.concatenate(images), np.concatenate(noises))
        except pb_utils.TritonModelException as error:
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error))) for _ in requests]
        ends = np.cumsum([len(image) for image in images])
        return [
            pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("albedo", np.ascontiguousarray(part))])
            for part in np.split(albedo, ends[:-1])
        ]

    def _unroll(self, image: np.ndarray, noise: np.ndarray) -> np.ndarray:
        # Features and latents stay in the memory where the models leave them; DLPack renames a tensor without a copy.
        picture = pb_utils.Tensor("image", image)
        features = _infer("encoder", [picture], FEATURES)
        z = pb_utils.Tensor("z", noise)
        dt = pb_utils.Tensor("dt", np.array([1 / self._steps], np.float32))
        for step in range(self._steps):
            t = pb_utils.Tensor("t", np.array([step / self._steps], np.float32))
            (z_next,) = _infer("velocity_step", [z, t, dt, *features], ("z_next",))
            z = pb_utils.Tensor.from_dlpack("z", z_next.to_dlpack())
        host = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0)
        tensors = {"z": z, "image": picture}
        inputs = [tensors[name] for name in self._decoder_inputs]
        (albedo,) = _infer("decoder", inputs, ("albedo",), preferred_memory=host)
        return albedo.as_numpy()


def _infer(model: str, inputs: list[Any], outputs: Sequence[str], **options: Any) -> list[Any]:
    """Output tensors of another model on this server. Raises TritonModelException with that model's message."""
    request = pb_utils.InferenceRequest(model_name=model, requested_output_names=list(outputs), inputs=inputs, **options)
    response = request.exec()
    if response.has_error():
        raise pb_utils.TritonModelException(f"{model}: {response.error().message()}")
    return [pb_utils.get_output_tensor_by_name(response, name) for name in outputs]
