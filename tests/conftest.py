"""Settings shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Set before torch or ONNX Runtime load: tests run small problems, where spinning worker threads cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def random_model():
    """The `tiny` networks with random weights, FP16-rounded; none zero, so that every layer shows in the output."""
    import torch

    from intrinsic_flow.export.weights import round_weights
    from intrinsic_flow.train.networks.config import CONFIGS
    from intrinsic_flow.train.networks.model import IntrinsicFlow

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = IntrinsicFlow(CONFIGS["tiny"])
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=parameter[0].numel() ** -0.5)
                else:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
            model.vae.latent_mean.normal_(std=0.3)
            model.vae.latent_std.uniform_(0.5, 2.0)
    return round_weights(model)


@pytest.fixture(scope="session")
def exported_bundle(random_model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that export.build_onnx makes of `random_model`. Read only: built once for all tests."""
    from intrinsic_flow.export.build_onnx import build_bundle

    folder = tmp_path_factory.mktemp("exported") / "tiny"
    build_bundle(random_model, folder, source={"run": "random"})
    return folder
