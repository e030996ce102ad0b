"""The model's options as controls, the same in both tabs; and inputs that hand over the visitor's file untouched."""

from __future__ import annotations

import gradio as gr

from intrinsic_flow.decomposition.decomposer import Mode
from intrinsic_flow.decomposition.product import ShadingKind
from intrinsic_flow.demo.messages import message
from intrinsic_flow.demo.photo import Options
from intrinsic_flow.media.images import ColorSpace

MODES = [("Flow matching", "flow"), ("Autoencoder only", "vae")]
COLOR_SPACES = [("As tagged", "auto"), ("sRGB", "srgb"), ("Linear", "linear")]


def untouched(component: gr.Image | gr.Video | gr.UploadButton) -> None:
    """Makes a component hand over the path of the uploaded file, or None. Gradio would decode a picture with Pillow first,
    past our limits and 16 bits to 8. Not by a subclass, beside which Gradio writes a stub file."""
    component.preprocess = lambda payload: None if payload is None else payload.path  # type: ignore[method-assign]


def within(slider: gr.Slider) -> gr.Slider:
    """Makes a slider take what is typed into its field as the page shows it once the field is left: the nearest value that
    it has, the least one for none. Gradio would refuse it as an error of the server, and show one value and use another."""
    usual, least, most = slider.preprocess, slider.minimum, slider.maximum

    def nearest(payload: float | None) -> float:
        value = least if payload is None else payload
        return usual(min(max(value, least), most) if type(value) in (int, float) else value)

    slider.preprocess = nearest  # type: ignore[method-assign]
    return slider


def _seed() -> gr.Number:
    field = gr.Number(0, label="Seed", info="of the start noise", precision=0, minimum=0, maximum=2**32, min_width=110)
    usual = field.preprocess

    def checked(payload: float | None) -> float | int | None:
        if isinstance(payload, (int, float)) and not 0 <= payload <= 2**32:
            raise message(f"Seed: found {payload:g}, expected a whole number from 0 to {2**32}")
        return usual(payload)

    field.preprocess = checked  # type: ignore[method-assign]
    return field


def option_controls() -> list[gr.components.Component]:
    """Controls in the order of `options`."""
    mode = gr.Radio(MODES, value="flow", label="Mode", info="The autoencoder alone shows what its latent space keeps.")
    with gr.Row():
        steps = within(gr.Slider(1, 20, value=2, step=1, label="Steps", info="of the flow", min_width=150))
        seed = _seed()
    with gr.Row():
        colorspace = gr.Dropdown(COLOR_SPACES, value="auto", label="Colour space", info="of the input", min_width=150)
        shading = gr.Dropdown(
            [("Colour", "rgb"), ("Grey", "gray")], value="rgb", label="Shading", info="of the result", min_width=110
        )
    mode.change(
        lambda mode: gr.update(interactive=mode == "flow"), mode, steps, show_progress="hidden", api_visibility="private"
    )
    return [mode, steps, seed, colorspace, shading]


def options(mode: Mode, steps: float, seed: float | None, colorspace: ColorSpace, shading: ShadingKind) -> Options:
    """What the controls say."""
    return Options(mode, int(steps), int(seed or 0), colorspace, shading)


def describe(options: Options) -> list[str]:
    """Labels for a result."""
    if options.mode == "vae":
        return ["autoencoder only"]
    return ["flow matching", f"{options.steps} {'step' if options.steps == 1 else 'steps'}", f"seed {options.seed}"]
