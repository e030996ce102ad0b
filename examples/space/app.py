"""The demo as a public Space: the page of `python -m runtime.app` with limits for strangers."""

from __future__ import annotations

from intrinsic_flow.demo.interface import build_demo, launch_options
from intrinsic_flow.demo.settings import DemoSettings
from intrinsic_flow.demo.worker import Worker
from intrinsic_flow.demo.workspace import Workspace

settings = DemoSettings(max_megapixels=12, max_seconds=10, queue=20)
workspace = Workspace()
demo = build_demo(settings, Worker(settings.bundle, settings.backend), workspace)

if __name__ == "__main__":
    demo.launch(server_name="0.0.0.0", server_port=7860, **launch_options(demo, workspace))
