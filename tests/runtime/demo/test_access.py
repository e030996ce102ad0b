"""What the demo's server refuses, asked by plain HTTP as somebody with bad intentions would."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from intrinsic_flow.media.images import write_image
from tests.runtime.demo.visitor import API, Page, Visitor

pytest.importorskip("gradio", reason='needs the extra: pip install "intrinsic-flow[demo]"')

META = {"meta": {"_type": "gradio.FileData"}}
REFUSED = (404, {"detail": "not found"})


def answer(response) -> tuple[int, object]:
    return response.status_code, response.json()


@pytest.fixture
def visitor(server):
    visitor = Visitor(server[0]).open()
    yield visitor
    visitor.close()


@pytest.fixture
def stranger(server):
    stranger = Visitor(server[0]).open()
    yield stranger
    stranger.close()


@pytest.fixture(scope="module")
def page(server) -> Page:
    visitor = Visitor(server[0])
    config = visitor.config()
    visitor.close()
    return Page(config)


@pytest.fixture
def picture(tmp_path, scene) -> Path:
    path = tmp_path / "secret.png"
    write_image(path, scene / scene.max())
    return path


def decomposed(visitor, page, picture: Path) -> tuple[str, list[str]]:
    """Path of the upload, and of everything that its result shows or offers."""
    [upload] = visitor.upload(picture.name, picture.read_bytes()).json()
    event = page.find("picture", "input")
    message = visitor.event(event["id"], page.data(event, {"path": upload, **META}))
    assert message["success"], message
    return upload, list(files(message["output"]["data"]))


def files(value):
    if isinstance(value, dict):
        if isinstance(value.get("path"), str):
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from files(item)


def test_no_event_takes_a_foreign_path_or_tells_whether_there_is_such_a_file(server, visitor, stranger, page, picture):
    [upload] = stranger.upload("other.png", picture.read_bytes()).json()
    root = next(server[1].glob("intrinsic-flow-demo-*")).resolve()
    paths = [
        *(str(picture), str(picture.with_name("none.png"))),
        *(upload, upload.replace("other.png", "none.png"), f"{root}/opening/../visitors/{upload.split('/visitors/')[1]}"),
        *(str(root), str(root / "none"), "/etc/passwd", "pyproject.toml", "/proc/self/environ", "http://127.0.0.1/", ""),
    ]
    for event in page.events:
        for path in paths:
            for more in ({}, META, {"url": "/x", **META}):
                file = {"path": path, **more}
                if file in page.data(event, file):
                    assert answer(visitor.join(event["id"], page.data(event, file))) == REFUSED
                # In the place of a number or a text, where Gradio looks for files as well.
                data = [file, *page.data(event)[1:]]
                assert answer(visitor.join(event["id"], data)) == REFUSED
        for route in ("run", "api", "call", "call/v2"):
            for name in ("predict", event["api_name"] or "on_picture"):
                body = {"data": [{"path": str(picture)}], "fn_index": event["id"], "session_hash": visitor.session}
                assert answer(visitor.client.post(f"{API}/{route}/{name}", json=body)) == REFUSED
    for path in paths:
        assert answer(visitor.fetch(path)) == REFUSED
        assert answer(visitor.client.get(f"{API}/file/{path}")) == REFUSED
    assert stranger.fetch(upload).status_code == 200


@pytest.mark.parametrize(
    "route",
    [
        "GET /gradio_api/runs",
        "POST /gradio_api/run-history/connect",
        "GET /gradio_api/run-history/buckets",
        "GET /gradio_api/run-history/records",
        "GET /gradio_api/openapi.json",
        "GET /gradio_api/deep_link",
        "GET /gradio_api/proxy=http://127.0.0.1/",
        "GET /gradio_api/file=http://127.0.0.1/",
        "POST /gradio_api/component_server",
        "POST /gradio_api/process_recording",
        "POST /gradio_api/stream/abcdef",
        "GET /gradio_api/call/on_picture/abcdef",
        "GET /gradio_api/vibe-code",
        "GET /monitoring",
        "POST /login",
        "GET /docs",
        "GET /openapi.json",
        "PUT /gradio_api/upload",
        "GET /gradio_api/queue/join",
    ],
)
def test_what_the_page_does_not_need_is_closed(visitor, route):
    method, path = route.split()
    assert answer(visitor.client.request(method, path)) == REFUSED


@pytest.mark.parametrize("index", [-1, 999, 10**30, "0", 1.5, True, None, [], {}])
def test_an_event_that_is_none_is_refused(visitor, page, index):
    assert answer(visitor.join(index, [])) == REFUSED
    body = {"fn_index": index, "data": [], "session_hash": visitor.session}
    assert answer(visitor.client.post(f"{API}/run/predict", json=body)) == REFUSED


def test_a_body_that_is_none_is_refused(visitor):
    for body in (b"", b"[]", b"{", b"[" * 100_000, b"\xff", b'{"data": "' + b"x" * 1_100_000 + b'"}'):
        assert answer(visitor.client.post(f"{API}/queue/join", content=body)) == REFUSED


def test_nothing_goes_round_the_queue(visitor, page, picture):
    [upload] = visitor.upload(picture.name, picture.read_bytes()).json()
    queued = [event for event in page.events if event["queue"] and event["backend_fn"]]
    assert queued
    for event in queued:
        body = {"fn_index": event["id"], "data": page.data(event, {"path": upload}), "session_hash": visitor.session}
        assert answer(visitor.client.post(f"{API}/run/predict", json=body)) == REFUSED


def test_who_has_no_open_page_gets_nothing_in(server, picture):
    nobody = Visitor(server[0], cookie=False)
    assert answer(nobody.upload("a.png", picture.read_bytes())) == REFUSED
    nobody.client.get("/")
    assert answer(nobody.upload("a.png", picture.read_bytes())) == REFUSED
    nobody.close()


def test_one_visitors_files_and_session_are_closed_to_others(visitor, stranger, page, picture):
    upload, results = decomposed(visitor, page, picture)
    assert len(results) > 8
    for path in (upload, *results):
        response = visitor.fetch(path)
        assert response.status_code == 200 and response.headers["cache-control"] == "private, no-store"
        assert answer(stranger.fetch(path)) == REFUSED
    own = stranger.session
    stranger.session = visitor.session
    event = page.find("run", "click")
    assert answer(stranger.join(event["id"], page.data(event))) == REFUSED
    assert answer(stranger.client.get(f"{API}/heartbeat/{visitor.session}")) == REFUSED
    assert answer(stranger.client.get(f"{API}/queue/data", params={"session_hash": visitor.session})) == REFUSED
    cancel = {"session_hash": visitor.session, "fn_index": event["id"], "event_id": "x"}
    assert answer(stranger.client.post(f"{API}/cancel", json=cancel)) == REFUSED
    stranger.session = own


def test_everything_of_a_page_is_deleted_when_it_closes(server, visitor, page, picture):
    other_page = Visitor(server[0])
    other_page.client.cookies = visitor.client.cookies
    other_page.open()
    [kept] = other_page.upload("kept.png", picture.read_bytes()).json()
    upload, results = decomposed(visitor, page, picture)
    own = [Path(path) for path in (upload, *results)]
    assert all(path.is_file() for path in own)
    visitor.leave()
    wait_until(lambda: not any(path.exists() for path in own))
    assert not any(path.exists() for path in own)
    assert all(answer(other_page.fetch(path)) == REFUSED for path in own)
    assert Path(kept).is_file()
    other_page.close()
    wait_until(lambda: not Path(kept).parents[2].exists())
    assert not Path(kept).parents[2].exists()


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def test_a_pages_state_goes_with_it(tmp_path):
    import gradio as gr

    from intrinsic_flow.demo.access import AccessControl
    from intrinsic_flow.demo.workspace import Workspace

    with gr.Blocks() as demo:
        gr.State(None)
    workspace = Workspace()

    class Holder:
        session_data = {"abcdef": "a photo", "others": "another"}  # noqa: RUF012
        time_last_used = {"abcdef": 0}  # noqa: RUF012

    demo.state_holder = Holder()

    async def heartbeat(scope, receive, send):
        assert workspace.is_open("abcdef")
        workspace.fresh("abcdef", "photo")

    access = AccessControl(heartbeat, demo=demo, workspace=workspace, max_upload=10)
    cookie = b"intrinsic-flow-visitor=" + b"x" * 32
    scope = {"type": "http", "method": "GET", "path": f"{API}/heartbeat/abcdef", "headers": [(b"cookie", cookie)]}
    asyncio.run(access({**scope, "query_string": b""}, None, None))
    assert Holder.session_data == {"others": "another"} and Holder.time_last_used == {}
    assert not workspace.is_open("abcdef") and list((workspace.root / "visitors").iterdir()) == []
    workspace.close()


def test_the_visitors_cookie_is_for_the_server_alone(server):
    visitor = Visitor(server[0], cookie=False)
    plain = visitor.client.get("/").headers["set-cookie"]
    assert "HttpOnly" in plain and "SameSite=Lax" in plain and "Secure" not in plain
    visitor.client.cookies.clear()
    behind = visitor.client.get("/", headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert "SameSite=None; Secure; Partitioned" in behind and plain.split(";")[0] != behind.split(";")[0]
    visitor.close()


@pytest.mark.parametrize("begun", [False, True])
def test_a_file_whose_page_closes_while_it_is_sent_ends_without_an_error(workspace, begun, caplog):
    """The page closes between the check and the reading, or after the first bytes."""
    from starlette.responses import FileResponse

    from intrinsic_flow.demo.access import COOKIE, AccessControl

    name, messages = "v" * 32, []

    async def send(message) -> None:
        messages.append(message)
        if begun and message["type"] == "http.response.start":
            workspace.end("session")

    async def serve(scope, receive, send) -> None:
        if not begun:
            workspace.end("session")
        await FileResponse(path)(scope, receive, send)

    workspace.enter(name, "session")
    path = workspace.fresh("session", "photo") / "albedo.png"
    path.write_bytes(b"x" * 100_000)
    headers = [(b"cookie", f"{COOKIE}={name}".encode())]
    scope = {
        "type": "http",
        "asgi": {"spec_version": "2.4"},
        "method": "GET",
        "path": f"{API}/file={path}",
        "headers": headers,
    }
    asyncio.run(AccessControl(serve, demo=None, workspace=workspace, max_upload=1)(scope, None, send))
    statuses = [message["status"] for message in messages if message["type"] == "http.response.start"]
    assert statuses == [200 if begun else 404]
    assert not caplog.records
