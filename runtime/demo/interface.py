"""The demo's page: header, photo tab, video tab. Builds it; `runtime.app` serves it."""

from __future__ import annotations

import html
import os
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from intrinsic_flow.demo import look
from intrinsic_flow.demo.access import AccessControl
from intrinsic_flow.demo.photo_tab import photo_tab
from intrinsic_flow.demo.settings import DemoSettings
from intrinsic_flow.demo.video_tab import video_tab
from intrinsic_flow.demo.worker import Worker
from intrinsic_flow.demo.workspace import Workspace

TITLE = "intrinsic-flow"
# Uploads are refused above it while they come in: floats of a large picture, or a minute of good video.
MAX_UPLOAD = 512 * gr.FileSize.MB


def build_demo(settings: DemoSettings, worker: Worker, workspace: Workspace) -> gr.Blocks:
    """The page as Gradio blocks, with its queue. Launch it with `launch_options`.

    worker, workspace: to be closed by the caller after the server has ended.
    """
    # Of Gradio's own uploads and copies, in this process.
    os.environ["GRADIO_TEMP_DIR"] = os.fspath(workspace.root)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as demo:
        with gr.Row(elem_id="top"):
            gr.HTML(
                f"<h1>{TITLE}</h1><p>Splits a picture into <b>albedo</b>, what the surface is, and <b>shading</b>, "
                "what the light does.</p>",
                padding=False,
                elem_id="brand",
            )
            toggle = gr.Button("◐", elem_id="theme")
            toggle.click(None, js=look.TOGGLE_THEME, api_visibility="private")
        with gr.Tabs():
            with gr.Tab("Photo", id="photo"):
                photo_tab(demo, settings, worker, workspace)
            with gr.Tab("Video", id="video"):
                video_tab(settings, worker, workspace)
        model = html.escape(f"{worker.bundle.name} · {worker.describe()}")
        gr.HTML(f'<p class="hint">Model {model}. Uploads are deleted when you leave the page.</p>', padding=False)
    demo.queue(max_size=settings.queue, api_open=False)
    return demo


def launch_options(demo: gr.Blocks, workspace: Workspace) -> dict[str, Any]:
    """Arguments for `gr.Blocks.launch` that belong to the page of `build_demo`."""
    access = Middleware(AccessControl, demo=demo, workspace=workspace, max_upload=MAX_UPLOAD)
    return {
        "app_kwargs": {"middleware": [access]},
        "theme": look.theme(),
        "css": look.CSS,
        "head": look.HEAD,
        "max_file_size": MAX_UPLOAD,
        "footer_links": [],
        "ssr_mode": False,
        "show_error": False,
    }
