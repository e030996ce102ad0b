"""The browser demo: a photo or a video in, albedo and shading out, and an editor for surface and light.

It listens on this machine only, unless --host says otherwise; then anybody who reaches the port may use it. Files are
kept in a temporary folder and removed with the visitor's session, at the latest when the command ends (when the next one
starts, where it was killed).

    python -m runtime.app
    python -m runtime.app --host 0.0.0.0 --port 8080 --max-megapixels 12 --max-seconds 15

Exit code: 0 ended by Ctrl-C, 2 wrong usage, a model that does not load or a port that is taken.
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from intrinsic_flow.backends import BACKENDS
from intrinsic_flow.cli.option_types import number
from intrinsic_flow.commands import DONE, WRONG_USAGE, command_parser, program
from intrinsic_flow.demo.settings import DemoSettings
from intrinsic_flow.demo.worker import Worker
from intrinsic_flow.demo.workspace import Workspace
from intrinsic_flow.errors import MissingExtraError

if TYPE_CHECKING:
    import gradio


@program("error", code=WRONG_USAGE)
def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        from intrinsic_flow.demo.interface import build_demo, launch_options
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "gradio":
            raise
        raise MissingExtraError("gradio", "demo") from error
    _check_port(options.host, options.port)
    settings = DemoSettings(options.bundle, options.backend, options.max_megapixels, options.max_seconds, options.queue)
    try:
        with closing(Worker(options.bundle, options.backend, options.threads)) as worker, closing(Workspace()) as workspace:
            demo = build_demo(settings, worker, workspace)
            return _serve(demo, launch_options(demo, workspace), options.host, options.port)
    except KeyboardInterrupt:
        return DONE


def _serve(demo: gradio.Blocks, options: dict[str, Any], host: str, port: int) -> int:
    try:
        demo.launch(server_name=host, server_port=port, quiet=True, prevent_thread_lock=True, **options)
        name = "localhost" if host == "127.0.0.1" else host
        print(f"intrinsic-flow demo: http://{name}:{port} (Ctrl-C ends it)", flush=True)
        threading.Event().wait()
    finally:
        demo.close(verbose=False)
    return DONE


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser("runtime.app", __doc__)
    parser.add_argument("--host", default="127.0.0.1", metavar="NAME", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=number(1, 65535, int), default=7860, metavar="N", help="(default: 7860)")
    parser.add_argument(
        "--max-megapixels",
        type=number(0.01, 134),
        default=24.0,
        metavar="N",
        help="of a photo, or of a video's frame (default: 24)",
    )
    parser.add_argument(
        "--max-seconds", type=number(0.1, 86400), default=30.0, metavar="N", help="of a video (default: 30)"
    )
    parser.add_argument(
        "--queue", type=number(1, 10000, int), default=32, metavar="N", help="visitors that may wait at once (default: 32)"
    )
    parser.add_argument(
        "--bundle", metavar="small|PATH", help="model bundle, shipped or a folder (default: the best shipped one)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="what runs the networks (default: auto)")
    parser.add_argument(
        "--threads", type=number(1, 4096, int), metavar="N", help="CPU threads (default: the physical cores)"
    )
    return parser.parse_args(arguments)


def _check_port(host: str, port: int) -> None:
    """Raises OSError where the server could not listen: Gradio's own words are about a range of ports."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        line = f"cannot listen on {host}:{port} ({reason}): expected a free --port and a --host of this machine"
        raise OSError(line) from error


if __name__ == "__main__":
    sys.exit(main())
