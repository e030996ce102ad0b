"""The photo tab: a picture in, two before/after sliders, an editor for surface and light, downloads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import gradio as gr

import intrinsic_flow
from intrinsic_flow.decomposition.working_size import resize
from intrinsic_flow.demo import look
from intrinsic_flow.demo.controls import describe, option_controls, options, untouched, within
from intrinsic_flow.demo.editing import (
    DAYLIGHT_KELVIN,
    KELVIN_RANGE,
    Light,
    Recolour,
    for_display,
    parse_color,
    select,
    weights,
)
from intrinsic_flow.demo.messages import FOREIGN, as_messages, facts, message
from intrinsic_flow.demo.photo import Options, Photo, decompose_photo
from intrinsic_flow.demo.settings import DemoSettings
from intrinsic_flow.demo.worker import Worker
from intrinsic_flow.demo.workspace import Workspace
from intrinsic_flow.media.images import read_image

# In a checkout; or beside the program, for an installed wheel, which has only the packages.
EXAMPLE_FOLDERS = (Path(intrinsic_flow.__file__).resolve().parents[1] / "examples", Path("examples").resolve())
EXAMPLE_NAMES = ("room", "objects", "outdoor")
THUMBNAIL_SIDE = 240
# Formats that browsers do not show, or not in full depth.
OTHER_FILES = [".exr", ".hdr", ".tif", ".tiff", ".npy", ".png", ".jpg", ".jpeg", ".webp", ".bmp"]
DOWNLOADS = (
    ("albedo.png", "Albedo PNG"),
    ("albedo.exr", "Albedo EXR"),
    ("shading.png", "Shading PNG"),
    ("shading.exr", "Shading EXR"),
    ("shading.json", "Scale JSON"),
)
# What was painted, and where the last click was, as shares of width and height.
Kept = tuple[Recolour, ...]
Active = tuple[float, float] | None
NO_EDITS: Kept = ()
PICK = "Click a surface in the picture to give it the new colour."
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def example_files() -> list[Path]:
    """The shipped pictures; none where they are not."""
    for folder in EXAMPLE_FOLDERS:
        files = [path for name in EXAMPLE_NAMES if (path := folder / f"{name}.png").is_file()]
        if files:
            return files
    return []


def photo_tab(demo: gr.Blocks, settings: DemoSettings, worker: Worker, workspace: Workspace) -> None:
    """Builds the tab inside the current Blocks context."""
    examples = example_files()
    source, photo, kept, active = gr.State(None), gr.State(None), gr.State(NO_EDITS), gr.State(None)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=280):
            picture = gr.Image(
                label="Your picture",
                sources=["upload", "webcam", "clipboard"],
                type="filepath",
                height=270,
                elem_id="picture",
                buttons=[],
                placeholder="Drop a picture here or click to choose one",
            )
            untouched(picture)
            other = gr.UploadButton(
                "Open EXR, HDR, TIFF or NPY", file_types=OTHER_FILES, type="filepath", size="sm", elem_id="other"
            )
            untouched(other)
            gallery = gr.Gallery(
                [(_thumbnail(path), path.stem) for path in examples],
                label="Examples",
                show_label=False,
                columns=3,
                height="auto",
                allow_preview=False,
                object_fit="cover",
                interactive=False,
                visible=bool(examples),
                elem_id="examples",
                buttons=[],
            )
            with gr.Accordion("Settings", open=False, elem_id="settings"):
                controls = option_controls()
            run = gr.Button("Decompose", variant="primary", elem_id="run")
        with gr.Column(scale=9, min_width=300):
            empty = gr.HTML(
                '<div class="empty"><div><b>Nothing here yet</b>Choose a picture, take one with the webcam, or press an '
                "example.</div></div>",
                padding=False,
                elem_id="empty",
            )
            with gr.Column(visible=False) as results:
                with gr.Row():
                    slider: dict[str, Any] = {
                        "max_height": 420,
                        "interactive": False,
                        "min_width": 260,
                        "format": "jpeg",
                        "buttons": ["fullscreen"],
                    }
                    albedo = gr.ImageSlider(label="Picture | Albedo", elem_id="albedo", **slider)
                    shading = gr.ImageSlider(label="Picture | Shading", elem_id="shading", **slider)
                status = gr.HTML(elem_id="status", padding=False)
                with gr.Row(elem_id="downloads"):
                    files = [
                        gr.DownloadButton(label, size="sm", min_width=96, elem_id=f"download-{name.replace('.', '-')}")
                        for name, label in DOWNLOADS
                    ]
    with gr.Column(visible=False, elem_id="editor") as editor:
        gr.HTML(
            "<h2>Edit surface and light apart</h2><p class='hint'>Paint goes into the albedo and keeps its shadows; light "
            "goes into the shading and keeps its colours. Both are multiplied again as you move a control.</p>",
            padding=False,
            elem_classes="section",
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=7, min_width=300):
                edited = gr.Image(
                    label="Edited picture: click a surface",
                    elem_id="edited",
                    interactive=False,
                    format="jpeg",
                    buttons=["fullscreen"],
                )
                note = gr.HTML(f'<p class="hint" role="status">{PICK}</p>', elem_id="note", padding=False)
            with gr.Column(scale=5, min_width=300):
                with gr.Group():
                    with gr.Row(equal_height=True):
                        color = gr.ColorPicker("#2f6fb5", label="New colour", elem_id="color", min_width=110)
                        tolerance = gr.Slider(
                            3, 60, value=18, step=1, label="Tolerance", elem_id="tolerance", min_width=160
                        )
                    everywhere = gr.Checkbox(
                        False, label="Everywhere in this colour, not only around the click", elem_id="everywhere"
                    )
                with gr.Row():
                    keep = gr.Button("Keep, pick another", size="sm", elem_id="keep", min_width=120)
                    undo = gr.Button("Undo paint", size="sm", elem_id="undo", min_width=100)
                with gr.Group():
                    strength = gr.Slider(0, 3, value=1, step=0.02, label="Light strength", elem_id="strength")
                    contrast = gr.Slider(
                        0, 2, value=1, step=0.02, label="Light contrast", info="0 flat, 2 harsh", elem_id="contrast"
                    )
                    kelvin = gr.Slider(
                        KELVIN_RANGE[0],
                        KELVIN_RANGE[1],
                        value=DAYLIGHT_KELVIN,
                        step=100,
                        label="Light temperature (kelvin)",
                        info="low is candlelight, high is blue sky; 6500 leaves the colour as it is",
                        elem_id="kelvin",
                    )
                    tint = gr.ColorPicker("#ffffff", label="Light tint", elem_id="tint")
                with gr.Row(elem_id="edit-downloads"):
                    reset = gr.Button("Reset", size="sm", elem_id="reset", min_width=80)
                    save_png = gr.Button("Save PNG", size="sm", elem_id="save-png", min_width=90)
                    save_exr = gr.Button("Save EXR", size="sm", elem_id="save-exr", min_width=90)
                saved = gr.DownloadButton("Edited picture", elem_classes="offstage")

    for slider_of_edits in (tolerance, strength, contrast, kelvin):
        within(slider_of_edits)
    light_controls = [strength, contrast, kelvin, tint]
    paint_controls = [color, tolerance, everywhere]
    neutral = [1, 1, DAYLIGHT_KELVIN, "#ffffff"]
    shown = [photo, empty, results, editor, albedo, shading, status, *files, edited, kept, active, note, *light_controls]

    def show(result: Photo) -> list[Any]:
        image, albedo, shading = result.views
        height, width = result.size
        labels = [
            f"{result.seconds:.2f} s",
            f"{width} x {height}",
            *describe(result.options),
            worker.describe(),
            *result.notes,
        ]
        downloads = [gr.update(value=result.files[name]) for name, _ in DOWNLOADS]
        return [
            result,
            gr.update(visible=False),
            gr.update(visible=True),
            gr.update(visible=True),
            (image, albedo),
            (image, shading),
            facts(labels),
            *downloads,
            image,
            NO_EDITS,
            None,
            _note(PICK),
            *neutral,
        ]

    def decompose(request: gr.Request, path: str | None, values: tuple[Any, ...]) -> list[Any]:
        if path is None:
            raise message("Choose a picture first: upload one, take one with the webcam, or press an example.")
        if not workspace.claim(request.session_hash, path) and Path(path) not in examples:
            raise message(FOREIGN)
        folder = workspace.fresh(request.session_hash, "photo")
        return show(decompose_photo(Path(path), options(*values), worker, folder, settings.max_pixels))

    # Gradio fills in the request and the event by their place, so they stand before the values.
    @as_messages
    def on_picture(request: gr.Request, path: str | None, *values: Any) -> list[Any]:
        if path is None:
            return [None, *[gr.skip()] * len(shown)]
        return [path, *decompose(request, path, values)]

    @as_messages
    def on_other(request: gr.Request, path: str, *values: Any) -> list[Any]:
        result = decompose(request, path, values)
        return [path, result[0].views[0], *result]

    @as_messages
    def on_example(request: gr.Request, event: gr.SelectData, *values: Any) -> list[Any]:
        if type(event.index) is not int or not 0 <= event.index < len(examples):
            raise message("There is no such example.")
        path = str(examples[event.index])
        return [path, path, *decompose(request, path, values)]

    @as_messages
    def on_run(request: gr.Request, path: str | None, *values: Any) -> list[Any]:
        return decompose(request, path, values)

    work: dict[str, Any] = {
        "concurrency_id": "photo",
        "concurrency_limit": 1,
        "api_visibility": "private",
        "show_progress_on": [albedo, shading],
    }
    uploaded = picture.input(on_picture, [picture, *controls], [source, *shown], trigger_mode="always_last", **work)
    # A file that is no picture leaves a broken one in the page: back to the one that the results belong to.
    uploaded.failure(
        lambda photo: [None, None] if photo is None else [str(photo.path), photo.views[0]],
        photo,
        [source, picture],
        **QUIET,
    )
    for event in (
        uploaded,
        other.upload(on_other, [other, *controls], [source, picture, *shown], **work),
        gallery.select(on_example, controls, [source, picture, *shown], **work),
        run.click(on_run, [source, *controls], shown, **work),
    ):
        event.success(None, js=look.SHOW_RESULT, api_visibility="private")
    if examples:
        opening = _Opening(examples[0], worker, workspace, settings.max_pixels)

        def on_load() -> list[Any]:
            return [str(examples[0]), str(examples[0]), *show(opening.photo())]

        demo.load(on_load, None, [source, picture, *shown], **QUIET)

    def edits(kept: Kept, active: Active, paint: tuple[Any, ...]) -> Kept:
        if active is None:
            return kept
        color, tolerance, everywhere = paint
        return (*kept, Recolour(*active, parse_color(color), tolerance, everywhere))

    def light(values: tuple[Any, ...]) -> Light:
        strength, contrast, kelvin, tint = values
        return Light(strength, contrast, kelvin, parse_color(tint))

    def view(request: gr.Request, photo: Photo, surfaces: Kept, light: Light) -> Path:
        return photo.write_view(surfaces, light, workspace.view(request.session_hash, ".jpg"))

    def repaint(request: gr.Request, photo: Photo, kept: Kept, active: Active, values: tuple[Any, ...]) -> list[Any]:
        surfaces = edits(kept, active, values[:3])
        share = float(weights(photo.albedo, select(photo.albedo, surfaces[-1])).mean())
        text = f"Painted {share:.0%} of the picture. Change colour or tolerance, or click another surface."
        return [view(request, photo, surfaces, light(values[3:])), _note(text)]

    @as_messages
    def on_edit(request: gr.Request, photo: Photo | None, kept: Kept, active: Active, *values: Any) -> Any:
        if photo is None:
            return gr.skip()
        return view(request, photo, edits(kept, active, values[:3]), light(values[3:]))

    @as_messages
    def on_pick(request: gr.Request, event: gr.SelectData, photo: Photo | None, kept: Kept, *values: Any) -> list[Any]:
        if photo is None:
            return [gr.skip()] * 3
        height, width = photo.albedo.shape[:2]
        if not _is_pixel(event.index, width, height):
            raise message("Click into the picture.")
        active = ((event.index[0] + 0.5) / width, (event.index[1] + 0.5) / height)
        return [*repaint(request, photo, kept, active, values), active]

    @as_messages
    def on_reach(request: gr.Request, photo: Photo | None, kept: Kept, active: Active, *values: Any) -> list[Any]:
        if photo is None or active is None:
            return [gr.skip()] * 2
        return repaint(request, photo, kept, active, values)

    @as_messages
    def on_keep(kept: Kept, active: Active, *paint: Any) -> list[Any]:
        surfaces = edits(kept, active, paint)
        return [surfaces, None, _note(f"{len(surfaces)} {'surface' if len(surfaces) == 1 else 'surfaces'} kept. {PICK}")]

    @as_messages
    def on_undo(request: gr.Request, photo: Photo | None, kept: Kept, active: Active, *values: Any) -> list[Any]:
        kept = kept if active is not None else kept[:-1]
        return [on_edit(request, photo, kept, None, *values), kept, None, _note(PICK)]

    @as_messages
    def on_reset(photo: Photo | None) -> list[Any]:
        return [gr.skip() if photo is None else photo.views[0], NO_EDITS, None, _note(PICK), *neutral]

    def saving(kind: str) -> Any:
        @as_messages
        def on_save(request: gr.Request, photo: Photo | None, kept: Kept, active: Active, *values: Any) -> Any:
            if photo is None:
                raise message("Choose a picture first.")
            folder = workspace.fresh(request.session_hash, "edited")
            return gr.update(value=photo.write_edited(edits(kept, active, values[:3]), light(values[3:]), folder, kind))

        return on_save

    # Beside the queue: an edit takes milliseconds and must not wait for other visitors' pictures.
    live: dict[str, Any] = {**QUIET, "queue": False, "trigger_mode": "always_last"}
    controls_of_edits = [*paint_controls, *light_controls]
    state = [photo, kept, active, *controls_of_edits]
    # A colour that the picker's own field or a reset sets is no user's input to Gradio, but a change.
    for reach in (tolerance, everywhere):
        reach.input(on_reach, state, [edited, note], **live)
    for control in (strength, contrast, kelvin):
        control.input(on_edit, state, edited, **live)
    for picker in (color, tint):
        picker.change(on_edit, state, edited, **live)
    edited.select(on_pick, [photo, kept, *controls_of_edits], [edited, note, active], **live)
    keep.click(on_keep, [kept, active, *paint_controls], [kept, active, note], **live)
    undo.click(on_undo, state, [edited, kept, active, note], **live)
    reset.click(on_reset, photo, [edited, kept, active, note, *light_controls], **live)
    save: dict[str, Any] = {"concurrency_id": "save", "concurrency_limit": 1, **QUIET}
    for button, kind in ((save_png, "png"), (save_exr, "exr")):
        button.click(saving(kind), state, saved, **save).success(None, saved, js=look.SAVE_FILE, api_visibility="private")


class _Opening:
    """The first example, decomposed once for all visitors: the page opens with a result."""

    def __init__(self, path: Path, worker: Worker, workspace: Workspace, max_pixels: int) -> None:
        self._path, self._worker, self._max_pixels = path, worker, max_pixels
        self._folder = workspace.root / "opening"
        self._lock = threading.Lock()
        self._photo: Photo | None = None

    def photo(self) -> Photo:
        """The result, which nobody changes."""
        with self._lock:
            if self._photo is None:
                self._folder.mkdir(exist_ok=True)
                self._photo = decompose_photo(
                    self._path, Options(), self._worker, self._folder, self._max_pixels, reader=read_image
                )
            return self._photo


def _is_pixel(index: Any, width: int, height: int) -> bool:
    pair = isinstance(index, (list, tuple)) and len(index) == 2 and all(type(number) in (int, float) for number in index)
    return pair and 0 <= index[0] < width and 0 <= index[1] < height


def _note(text: str) -> str:
    return f'<p class="hint" role="status">{text}</p>'


def _thumbnail(path: Path) -> Any:
    pixels = read_image(path).pixels
    height, width = pixels.shape[:2]
    factor = THUMBNAIL_SIDE / min(height, width)
    return for_display(resize(pixels, round(height * factor), round(width * factor)))
