"""What visitors may ask of the demo's server: an ASGI middleware in front of Gradio's routes.

Gradio serves more than the page needs (direct calls beside the queue, run history, a proxy, lists of the API), lets anybody
read what anybody uploaded who knows or computes its path, and opens whatever path a request names. Here only the page's own
requests pass, and of files only the visitor's own. A visitor is known by a random cookie. Every refusal reads the same,
whether the file or event exists or not.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import shutil
from functools import partial
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from gradio.route_utils import MultiPartException, upload_fn
from gradio.routes import file_upload_statuses
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intrinsic_flow.demo.workspace import Workspace

if TYPE_CHECKING:
    import gradio as gr

COOKIE = "intrinsic-flow-visitor"
API = "/gradio_api"
# Nothing that a page says about its controls is longer.
MAX_BODY = 1_000_000
# All of a visitor's uploads together, in files of the largest size.
UPLOADS_AT_ONCE = 2
# A page's first event may come in before the connection that says that the page is open.
PATIENCE_SECONDS = 10.0
# Edits go beside the queue. Each holds a few copies of a preview.
EDITS_AT_ONCE = 2

_PAGE = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/pwa_icon(/\d+)?|/(assets|static|svelte)/.+"
    rf"|{API}/(theme\.css|app_id/?|info/?|startup-events|queue/status|upload_progress)"
)
_HEARTBEAT, _FILE, _RUN = (re.compile(API + route) for route in (r"/heartbeat/(\w+)", r"/file=(.+)", r"/run/[\w-]+"))
_SESSION = re.compile(r"\w{5,64}")
_VISITOR = re.compile(r"[\w-]{32}")
_REFUSED = {"detail": "not found"}


class AccessControl:
    """demo: whose events may be asked for. max_upload: bytes of one file."""

    def __init__(self, app: ASGIApp, *, demo: gr.Blocks, workspace: Workspace, max_upload: int) -> None:
        self._app, self._demo, self._workspace, self._max_upload = app, demo, workspace, max_upload
        self._edits = asyncio.Semaphore(EDITS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._route(scope, receive, answer)
        except Exception:
            logging.getLogger(__name__).exception("%s %s", scope["method"], scope["path"])
            if not answer.begun:
                await JSONResponse({"detail": "That did not work."}, 400)(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        method, path, visitor = scope["method"], scope["path"], _visitor(request)
        reading, sending = method in ("GET", "HEAD"), method == "POST"
        if reading and _PAGE.fullmatch(path):
            if path == "/" and not visitor:
                send = _with_cookie(send, request)
            await self._app(scope, receive, send)
        elif not visitor:
            await _refuse(scope, receive, send)
        elif reading and (match := _FILE.fullmatch(path)):
            await self._file(visitor, match[1], scope, receive, _private(send))
        elif method == "GET" and (match := _HEARTBEAT.fullmatch(path)):
            await self._page(visitor, match[1], scope, receive, send)
        elif method == "GET" and path == f"{API}/queue/data":
            known = await self._has_page(visitor, request.query_params.get("session_hash"))
            await (self._app if known else _refuse)(scope, receive, send)
        elif sending and path == f"{API}/upload":
            await (await self._upload(request, visitor))(scope, receive, send)
        elif sending and path in (f"{API}/cancel", f"{API}/reset"):
            body = await _body(request)
            known = body is not None and await self._has_page(visitor, body.get("session_hash"))
            await (self._app if known else _refuse)(scope, _again(body, receive), send)
        elif sending and path == f"{API}/queue/join":
            await self._event(visitor, request, scope, receive, send, queue=True)
        elif sending and _RUN.fullmatch(path):
            async with self._edits:
                await self._event(visitor, request, scope, receive, send, queue=False)
        else:
            await _refuse(scope, receive, send)

    async def _file(self, visitor: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """A file that goes between the look and the reading, since its page has closed, is refused as if it never was."""
        readable = partial(anyio.to_thread.run_sync, self._workspace.readable, visitor, path)
        if not await readable():
            await _refuse(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer)
        except (OSError, RuntimeError):  # Starlette raises a plain RuntimeError for a file that is not there
            if await readable():
                raise
            if not answer.begun:
                await _refuse(scope, receive, send)

    async def _page(self, visitor: str, session: str, scope: Scope, receive: Receive, send: Send) -> None:
        """A page is open as long as this request is."""
        if not _SESSION.fullmatch(session) or not self._workspace.enter(visitor, session):
            await _refuse(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if self._workspace.end(session):
                holder = self._demo.state_holder
                holder.session_data.pop(session, None)
                holder.time_last_used.pop(session, None)

    async def _event(
        self, visitor: str, request: Request, scope: Scope, receive: Receive, send: Send, *, queue: bool
    ) -> None:
        body = await _body(request)
        if body is None or not await self._may(visitor, body, queue=queue):
            await _refuse(scope, receive, send)
            return
        names = ("data", "fn_index", "session_hash", "event_data", "trigger_id")
        await self._app(scope, _again({name: body.get(name) for name in names}, receive), send)

    async def _may(self, visitor: str, body: dict[str, Any], *, queue: bool) -> bool:
        index, data, trigger, session = (body.get(name) for name in ("fn_index", "data", "trigger_id", "session_hash"))
        event = self._demo.fns.get(index) if type(index) is int else None
        if event is None or event.fn is None or bool(event.queue) != queue:
            return False
        if not isinstance(data, list) or len(data) != len(event.inputs) or type(trigger) not in (int, type(None)):
            return False
        if not isinstance(body.get("event_data"), (dict, type(None))):
            return False
        if not await self._has_page(visitor, session):
            return False
        files = _paths(body)
        return all([await anyio.to_thread.run_sync(self._workspace.claim, session, path) for path in files])

    async def _has_page(self, visitor: str, session: Any) -> bool:
        if not isinstance(session, str) or not _SESSION.fullmatch(session):
            return False
        waited = 0.0
        while not self._workspace.is_open(session) and waited < PATIENCE_SECONDS:
            await asyncio.sleep(0.05)
            waited += 0.05
        return self._workspace.belongs(session, visitor)

    async def _upload(self, request: Request, visitor: str) -> Response:
        """Gradio's own reading of an upload, into the visitor's folder: the common one names files by what they hold."""
        folder = self._workspace.uploads(visitor)
        if folder is None:
            return JSONResponse(_REFUSED, 404)
        used = await anyio.to_thread.run_sync(_bytes_in, folder)
        left = UPLOADS_AT_ONCE * self._max_upload - used
        if left <= 0:
            return PlainTextResponse("All your uploads together are too large: reload the page.", 413)
        home, folder = folder, folder / secrets.token_urlsafe(16)
        upload_id = request.query_params.get("upload_id")
        progress = file_upload_statuses if upload_id else None
        try:
            files, _, _ = await upload_fn(request, folder, min(left, self._max_upload), upload_id, True, progress)
        except MultiPartException as error:
            return PlainTextResponse(error.message, 413 if "maximum allowed size" in error.message else 400)
        if self._workspace.uploads(visitor) != home:
            # The last page closed while the file came in.
            await anyio.to_thread.run_sync(partial(shutil.rmtree, home.parent, ignore_errors=True))
            return JSONResponse(_REFUSED, 404)
        return JSONResponse([str(path) for path in files])


class _Answer:
    """A `send` that knows whether its answer has begun, after which no other can be given."""

    def __init__(self, send: Send) -> None:
        self._send, self.begun = send, False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(_REFUSED, 404)(scope, receive, send)


def _visitor(request: Request) -> str | None:
    try:
        cookie = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return cookie.value if cookie is not None and _VISITOR.fullmatch(cookie.value) else None


def _with_cookie(send: Send, request: Request) -> Send:
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    # A public Space shows the page inside another site's.
    terms = "SameSite=None; Secure; Partitioned" if "https" in (request.url.scheme, forwarded) else "SameSite=Lax"
    cookie = f"{COOKIE}={secrets.token_urlsafe(24)}; Path=/; HttpOnly; {terms}"
    return _with_header(send, b"set-cookie", cookie.encode())


def _private(send: Send) -> Send:
    return _with_header(send, b"cache-control", b"private, no-store")


def _with_header(send: Send, name: bytes, value: bytes) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (name, value)]}
        await send(message)

    return sending


async def _body(request: Request) -> dict[str, Any] | None:
    """The body as a JSON object; None for anything else."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY:
            return None
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _again(body: dict[str, Any] | None, receive: Receive) -> Receive:
    """The request's messages with its body, which was read already."""
    pending = [json.dumps(body).encode()]

    async def receiving() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return receiving


def _paths(value: Any) -> list[Any]:
    """Everything in the body that could be a file to Gradio, with `meta` or without."""
    found: list[Any] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if item.get("path") is not None:
                found.append(item["path"] if isinstance(item["path"], str) else "")
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return found


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
