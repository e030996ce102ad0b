"""Draws docs/networks.svg, the networks and what passes between them, with the widths of the configurations.

python docs/networks.py
python docs/networks.py --check     # exit code 1 where the figure is out of date
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

import generated

from intrinsic_flow.train.networks.config import CONFIGS, LATENT_CHANNELS, LATENT_DOWNSCALE

REPOSITORY = Path(__file__).resolve().parents[1]
FIGURE = REPOSITORY / "docs" / "networks.svg"
NAMES = ("small", "base")
WIDTH, HEIGHT = 974, 560

INK, SOFT, PAPER = "#1f2933", "#616e7c", "#ffffff"
DATA, ENCODER, UNET, DECODER, UPSAMPLER, TRAINING = "#f0f2f5", "#d9e8fb", "#fbe3c8", "#d8f0dd", "#eadcf7", "#f7f7f7"


class Drawing:
    """SVG elements in order; coordinates in pixels from the top left."""

    def __init__(self) -> None:
        self.elements: list[str] = []

    def text(
        self, x: float, y: float, text: str, *, size: int = 13, bold: bool = False, ink: str = INK, anchor: str = "middle"
    ) -> None:
        style = f'font-size="{size}" fill="{ink}" text-anchor="{anchor}"' + (' font-weight="600"' if bold else "")
        self.elements.append(f'<text x="{x:g}" y="{y:g}" {style}>{escape(text)}</text>')

    def box(self, x: float, y: float, width: float, height: float, fill: str, *lines: str, dashed: bool = False) -> None:
        """A box with its first line bold, all centred."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.elements.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}" stroke="{SOFT}"{dash}/>'
        )
        top = y + height / 2 - 8.5 * (len(lines) - 1) + 4.5
        for index, line in enumerate(lines):
            self.text(x + width / 2, top + 17 * index, line, size=13 if index == 0 else 12, bold=index == 0)

    def arrow(
        self, *points: tuple[float, float], label: str = "", at: tuple[float, float] = (0, 0), dashed: bool = False
    ) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.elements.append(
            f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.4" marker-end="url(#head)"{dash}/>'
        )
        if label:
            self.text(*at, label, size=12, ink=SOFT)

    def svg(self) -> str:
        head = (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0,0 L8,4 L0,8 z" fill="{INK}"/></marker></defs>'
        )
        body = "\n".join(self.elements)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif">\n{head}\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="{PAPER}"/>\n{body}\n</svg>\n'
        )


def widths(field: str, stage: int) -> str:
    """Channels of a stage in each named configuration, "96 | 192"."""
    return " | ".join(str(getattr(CONFIGS[name], field)[stage]) for name in NAMES)


def draw() -> str:
    """The figure as SVG."""
    drawing = Drawing()
    latent = f"{LATENT_CHANNELS} x H/{LATENT_DOWNSCALE} x W/{LATENT_DOWNSCALE}"
    drawing.text(24, 32, "Channels: " + " | ".join(NAMES), bold=True, anchor="start")
    drawing.text(24, 52, "H, W: short side 256, both multiples of 32", size=12, ink=SOFT, anchor="start")

    # The image and its features.
    drawing.box(24, 96, 120, 62, DATA, "photo", "linear RGB", "any size")
    drawing.box(196, 96, 118, 62, DATA, "image", "3 x H x W", "exposed to [0, 1]")
    drawing.arrow((144, 127), (194, 127), label="resize", at=(169, 119))
    drawing.text(661, 32, "conditioning encoder, once", bold=True)
    drawing.text(661, 50, "3x3 residual blocks; never convolves the full resolution", size=12, ink=SOFT)
    for stage, x in enumerate((372, 520, 668, 816)):
        scale = 4 << stage
        drawing.box(x, 64 + 12 * stage, 134, 126 - 24 * stage, ENCODER, f"1/{scale}", widths("encoder_widths", stage))
        if stage:
            drawing.arrow((x - 14, 127), (x - 2, 127))
    drawing.arrow((314, 127), (370, 127), label="4x4 fold", at=(342, 119))

    # The loop.
    drawing.box(24, 270, 120, 62, DATA, "noise z", latent, "t = 0")
    for x, title in ((372, "velocity UNet, t = 0"), (600, "velocity UNet, t = 1/2")):
        unet = [widths("unet_widths", level) for level in range(3)]
        drawing.box(x, 252, 182, 98, UNET, title, *(f"1/{8 << level}: {width}" for level, width in enumerate(unet)))
        for offset in (40, 91, 142):
            drawing.arrow((x + offset, 216), (x + offset, 250))
    # Features at 1/8, 1/16 and 1/32 come down to a rail above both steps.
    for x, bottom in ((587, 178), (735, 166), (883, 154)):
        drawing.elements.append(f'<line x1="{x}" y1="{bottom}" x2="{x}" y2="216" stroke="{INK}" stroke-width="1.4"/>')
    drawing.elements.append(f'<line x1="412" y1="216" x2="883" y2="216" stroke="{INK}" stroke-width="1.4"/>')
    drawing.text(560, 208, "features, added at each level; attention at 1/32", size=12, ink=SOFT, anchor="end")
    drawing.arrow((144, 301), (370, 301))
    drawing.arrow((554, 301), (598, 301), label="z + v/2", at=(576, 293))
    drawing.arrow((782, 301), (834, 301), label="z + v/2", at=(808, 293))
    decoder = [widths("decoder_widths", stage) for stage in (2, 1, 0)]
    drawing.box(836, 252, 114, 98, DECODER, "VAE decoder", *(f"1/{8 >> i}: {width}" for i, width in enumerate(decoder)))

    # Full resolution.
    drawing.arrow((893, 350), (893, 398))
    drawing.box(836, 400, 114, 62, DATA, "albedo", "3 x H x W")
    drawing.box(600, 400, 182, 62, DATA, "log(image / albedo)", "3 x H x W")
    drawing.arrow((836, 431), (784, 431))
    drawing.arrow((255, 158), (255, 382), (691, 382), (691, 398))
    drawing.box(372, 400, 182, 62, UPSAMPLER, "guided upsampler", "local linear fit to the photo")
    drawing.arrow((600, 431), (556, 431))
    drawing.arrow((84, 158), (84, 240), (230, 240), (230, 418), (370, 418), label="photo", at=(302, 411))
    drawing.box(24, 400, 150, 62, DATA, "albedo, shading", "of the photo's size", "product = photo")
    drawing.arrow((372, 446), (176, 446))

    # What only training sees.
    drawing.box(372, 490, 182, 52, TRAINING, "true albedo", "3 x H x W", dashed=True)
    wide, deep = widths("vae_encoder_widths", 0), widths("vae_encoder_widths", 1)
    drawing.box(600, 490, 182, 52, TRAINING, "VAE encoder", f"1/4: {wide}, 1/8: {deep}", dashed=True)
    drawing.box(836, 490, 114, 52, TRAINING, "z at t = 1", latent, dashed=True)
    drawing.arrow((554, 516), (598, 516), dashed=True)
    drawing.arrow((782, 516), (834, 516), dashed=True)
    drawing.text(24, 520, "training only: where the flow leads", size=12, ink=SOFT, anchor="start")
    return drawing.svg()


if __name__ == "__main__":
    sys.exit(generated.run("docs/networks.py", __doc__, FIGURE, draw))
