"""The video tab: a clip in, input | albedo | shading side by side, downloads."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr

from intrinsic_flow.demo.clip import VideoLimits, decompose_clip
from intrinsic_flow.demo.controls import describe, option_controls, options, untouched
from intrinsic_flow.demo.messages import FOREIGN, as_messages, facts, message
from intrinsic_flow.demo.settings import DemoSettings
from intrinsic_flow.demo.worker import Worker
from intrinsic_flow.demo.workspace import SessionEnded, Workspace

DOWNLOADS = (("albedo", "Albedo"), ("shading", "Shading"), ("preview", "Side by side"), ("sidecar", "Scale JSON"))
PROGRESS_INTERVAL = 0.25
# Gradio fills in the event at hand.
TRACKER = gr.Progress()


def video_tab(settings: DemoSettings, worker: Worker, workspace: Workspace) -> None:
    """Builds the tab inside the current Blocks context."""
    limits = VideoLimits(settings.max_pixels, settings.max_seconds)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            video = gr.Video(
                label=f"Your video, up to {settings.max_seconds:g} s",
                sources=["upload"],
                height=300,
                elem_id="video",
                buttons=[],
            )
            untouched(video)
            with gr.Accordion("Settings", open=False, elem_id="video-settings"):
                controls = option_controls()
                temporal = gr.Checkbox(True, label="Steady albedo: filtered along the motion")
            run = gr.Button("Decompose video", variant="primary", elem_id="run-video")
        with gr.Column(scale=8, min_width=300):
            empty = gr.HTML(
                '<div class="empty"><div><b>Albedo and shading of a clip</b>Upload a video and press the button. Albedo is '
                "kept steady over time; changing light goes into the shading.</div></div>",
                padding=False,
                elem_id="video-empty",
            )
            with gr.Column(visible=False) as results:
                result = gr.Video(
                    label="Video | Albedo | Shading",
                    interactive=False,
                    autoplay=True,
                    loop=True,
                    elem_id="video-result",
                    buttons=[],
                )
                status = gr.HTML(elem_id="video-status", padding=False)
                with gr.Row(elem_id="clip-downloads"):
                    files = [
                        gr.DownloadButton(label, size="sm", min_width=96, elem_id=f"download-clip-{name}")
                        for name, label in DOWNLOADS
                    ]

    @as_messages
    def on_run(
        request: gr.Request, path: str | None, temporal: bool, *values: Any, progress: gr.Progress = TRACKER
    ) -> list[Any]:
        if path is None:
            raise message("Choose a video first.")
        session = request.session_hash
        if not workspace.claim(session, path):
            raise message(FOREIGN)
        folder = workspace.fresh(session, "video")
        shown = 0.0

        def on_frame(done: int, total: int) -> None:
            nonlocal shown
            if not workspace.is_open(session):
                raise SessionEnded("The page was closed.")
            if time.monotonic() - shown >= PROGRESS_INTERVAL:
                shown = time.monotonic()
                progress(done / total, desc=f"{done} of {total} frames")

        progress(0, desc="Reading the video")
        clip = decompose_clip(Path(path), options(*values), worker, folder, limits, temporal=temporal, on_frame=on_frame)
        height, width = clip.size
        speed = [f"{clip.seconds:.1f} s", f"{clip.frames} frames", f"{clip.frames / clip.seconds:.1f} frames/s"]
        labels = [*speed, f"{width} x {height}", *describe(options(*values)), worker.describe(), *clip.notes]
        downloads = [gr.update(value=clip.files[name]) for name, _ in DOWNLOADS]
        return [gr.update(visible=False), gr.update(visible=True), clip.files["preview"], facts(labels), *downloads]

    shown = [empty, results, result, status, *files]
    run.click(
        on_run,
        [video, temporal, *controls],
        shown,
        concurrency_id="video",
        concurrency_limit=1,
        api_visibility="private",
        show_progress_on=[empty, result],
    )
