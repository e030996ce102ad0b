"""Parameters and multiply-accumulates of a configuration.

python -m train.networks.count
python -m train.networks.count --config base --side 512
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from intrinsic_flow.commands import command_parser
from intrinsic_flow.train.networks.config import CONFIGS, NetworkConfig, named_network
from intrinsic_flow.train.networks.model import IntrinsicFlow, latent_shape


@dataclass(frozen=True)
class Cost:
    """Parameters (count) and GMAC of each part; `total_gmac` is one decomposition with `steps` Euler steps."""

    parameters: dict[str, int]
    gmac: dict[str, float]
    steps: int

    @property
    def total_parameters(self) -> int:
        return sum(self.parameters.values())

    @property
    def total_gmac(self) -> float:
        return self.gmac["encoder"] + self.steps * self.gmac["velocity_step"] + self.gmac["decoder"]


def count(config: NetworkConfig, side: int = 256, steps: int = 2) -> Cost:
    """Count on the meta device with torch's FlopCounterMode / 2, for one (side, side) image."""
    with torch.device("meta"):
        model = IntrinsicFlow(config).eval()
        image, z, t = torch.rand(1, 3, side, side), torch.rand(latent_shape(1, side, side)), torch.rand(1)

        def gmac(function: Callable[[], object]) -> float:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                function()
            return counter.get_total_flops() / 2e9

        with torch.no_grad():
            features = model.encoder(image)
        costs = {
            "vae_encoder": gmac(lambda: model.vae.encode(image)),
            "encoder": gmac(lambda: model.encoder(image)),
            "velocity_step": gmac(lambda: model.velocity_step(z, t, t, features)),
            "decoder": gmac(lambda: model.vae.decode(z, image)),
        }
    modules = {
        "vae_encoder": model.vae.encoder,
        "encoder": model.encoder,
        "velocity_step": model.unet,
        "decoder": model.vae.decoder,
    }
    return Cost({key: sum(p.numel() for p in m.parameters()) for key, m in modules.items()}, costs, steps)


def main() -> None:
    parser = command_parser("train.networks.count", __doc__)
    parser.add_argument("--config", help="one network, by name or as a YAML file (default: all)")
    parser.add_argument("--side", type=int, default=256, help="image side in pixels, a multiple of 32 (default: 256)")
    parser.add_argument("--steps", type=int, default=2, help="Euler steps (default: 2)")
    arguments = parser.parse_args()
    for name in [arguments.config] if arguments.config else CONFIGS:
        try:
            config = named_network(name)
        except ValueError as error:
            parser.error(f"--config: {error}")
        cost = count(config, arguments.side, arguments.steps)
        parts = "  ".join(f"{k} {cost.parameters[k] / 1e6:.2f} M / {cost.gmac[k]:.2f} GMAC" for k in cost.gmac)
        print(f"{config.name:10s} {cost.total_parameters / 1e6:6.2f} M  {cost.total_gmac:6.2f} GMAC   {parts}")


if __name__ == "__main__":
    main()
