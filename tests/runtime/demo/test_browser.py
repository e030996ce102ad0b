"""The demo in a real browser: Chromium without a window, the server as its command starts it."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow.media.images import read_image, write_image

pytest.importorskip("gradio", reason='needs the extra: pip install "intrinsic-flow[demo]"')
playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")

OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
# Of a loaded machine.
PATIENCE = 120_000


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, server):
    """Opens the page as another visitor; options are those of a browser context."""
    contexts, outside = [], []

    def open_page(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "accept_downloads": True, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: outside.append(request.url))
        page.goto(server[0])
        page.wait_for_selector("#albedo img")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in outside if not url.startswith((server[0], "data:", "blob:"))] == []


@pytest.fixture
def picture(tmp_path, scene) -> Path:
    path = tmp_path / "holiday.png"
    write_image(path, np.tile(scene / scene.max(), (2, 2, 1)))
    return path


def upload(page, path: Path) -> None:
    """Replaces the picture."""
    page.get_by_label("Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files(path)


def wait_for_text(page, selector: str, text: str) -> str:
    found = "([s, t]) => document.querySelector(s)?.innerText.includes(t)"
    page.wait_for_function(found, arg=[selector, text], polling=100)
    return page.inner_text(selector)


def download(page, selector: str, folder: Path) -> Path:
    with page.expect_download() as event:
        page.click(selector)
    path = folder / event.value.suggested_filename
    event.value.save_as(path)
    return path


def shown(page, selector: str) -> np.ndarray:
    """(h, w, 3) uint8 of the picture in the page."""
    data = page.request.get(page.get_attribute(f"{selector} img >> nth=-1", "src")).body()
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def wait_for_change(page, selector: str, before: str) -> None:
    page.wait_for_function("([s, b]) => document.querySelector(s).src !== b", arg=[f"{selector} img", before], polling=100)


def test_upload_run_and_download(visit, picture, tmp_path):
    page = visit()
    upload(page, picture)
    status = wait_for_text(page, "#status", "280 x 180")
    assert re.search(r"\d+\.\d\d s", status) and re.search("ONNX Runtime|OpenVINO", status) and "2 steps" in status
    layers = {
        name: download(page, f"#download-{name.replace('.', '-')}", tmp_path) for name in ("albedo.exr", "shading.exr")
    }
    assert [path.name for path in layers.values()] == ["holiday_albedo.exr", "holiday_shading.exr"]
    product = np.prod([read_image(path).pixels for path in layers.values()], axis=0)
    np.testing.assert_allclose(product, read_image(picture).pixels, rtol=1e-4, atol=1e-7)
    assert read_image(download(page, "#download-albedo-png", tmp_path)).bit_depth == 8


def test_the_modes_give_what_they_are_asked_for(visit, picture):
    page = visit()
    # Opened before the picture goes up: for the first moments a panel still sets its fields, over what is typed.
    page.click("#settings button")
    upload(page, picture)
    wait_for_text(page, "#status", "280 x 180")
    page.locator("#settings").get_by_label("number input for Steps").first.fill("7")
    page.locator("#settings").get_by_label("Seed").fill("3")
    page.click("#run")
    assert "seed 3" in wait_for_text(page, "#status", "7 steps")
    page.get_by_label("Autoencoder only").first.check()
    page.click("#run")
    wait_for_text(page, "#status", "autoencoder only")


def test_the_slider_moves(visit):
    page = visit()
    handle = page.locator("#albedo .inner, #albedo [role=slider], #albedo .outer").first
    before = handle.bounding_box()
    page.mouse.move(before["x"] + before["width"] / 2, before["y"] + before["height"] / 2)
    page.mouse.down()
    page.mouse.move(before["x"] - 80, before["y"] + before["height"] / 2, steps=5)
    page.mouse.up()
    assert handle.bounding_box()["x"] < before["x"] - 40


def test_the_keyboard_alone_moves_the_slider_and_is_seen(visit):
    page = visit()
    handle = page.locator("#albedo .inner")
    page.locator("#run").focus()
    for _ in range(6):
        page.keyboard.press("Tab")
        if handle.evaluate("handle => handle === document.activeElement"):
            break
    before = handle.bounding_box()["x"]
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("b => document.querySelector('#albedo .inner').getBoundingClientRect().x < b - 40", arg=before)
    assert int(handle.get_attribute("aria-valuenow")) < 45
    for selector in ("#range_id_0", "#everywhere input", "#albedo .inner"):
        page.keyboard.press("Tab")
        page.locator(selector).focus()
        assert page.locator(selector).evaluate("e => getComputedStyle(e).outlineStyle") == "solid", selector
    assert page.get_by_role("button", name="Light or dark theme").count() == 1


def test_paint_and_light_show_at_once_and_are_saved_in_full(visit, picture, tmp_path):
    page = visit()
    upload(page, picture)
    wait_for_text(page, "#status", "280 x 180")
    image = page.locator("#edited img")
    image.scroll_into_view_if_needed()
    before, source = shown(page, "#edited"), image.get_attribute("src")
    box = image.bounding_box()
    image.click(position={"x": box["width"] * 0.15, "y": box["height"] * 0.2})
    assert "Painted" in wait_for_text(page, "#note", "Painted")
    painted, second = shown(page, "#edited"), image.get_attribute("src")
    assert source != second and np.abs(painted.astype(int) - before).max() > 40
    reach = page.locator("#tolerance input[type=number]")
    note = page.locator("#note").inner_text()
    reach.fill("60")
    reach.press("Enter")
    share = int(re.search(r"Painted (\d+)%", note)[1])
    more = "least => /Painted (\\d+)%/.exec(document.querySelector('#note').innerText)?.[1] > least"
    page.wait_for_function(more, arg=share)
    reach.fill("18")
    reach.press("Enter")
    page.wait_for_function("text => document.querySelector('#note').innerText === text", arg=note)
    painted, second = shown(page, "#edited"), image.get_attribute("src")
    field = page.locator("#strength input[type=number]")
    field.fill("0.5")
    field.press("Enter")
    wait_for_change(page, "#edited", second)
    assert shown(page, "#edited").mean() < 0.85 * painted.mean()
    saved = read_image(download(page, "#save-png", tmp_path))
    assert saved.pixels.shape == (180, 280, 3)
    exr = download(page, "#save-exr", tmp_path)
    assert exr.name == "holiday_edited.exr"
    page.click("#reset")
    wait_for_text(page, "#note", "Click a surface")
    np.testing.assert_allclose(shown(page, "#edited").astype(int), before, atol=3)


def test_bad_files_are_one_line_and_the_last_result_stays(visit, picture, tmp_path):
    page = visit()
    upload(page, picture)
    wait_for_text(page, "#status", "280 x 180")
    text, large = tmp_path / "text.png", tmp_path / "large.png"
    text.write_text("no picture at all")
    write_image(large, np.zeros((2001, 2000, 3), np.float32))
    for path, message in (
        (text, "text.png: found plain text, expected a picture"),
        (large, "large.png: found 2000x2001 pixels"),
    ):
        upload(page, path)
        told = wait_for_text(page, ".toast-body", message)
        assert "Traceback" not in told and str(tmp_path) not in told and "intrinsic-flow-demo-" not in told
        page.locator(".toast-body button").first.click()
        page.wait_for_selector(".toast-body", state="detached")
    assert "280 x 180" in page.inner_text("#status")
    assert page.locator("#albedo img").first.is_visible()
    # The picture that is shown again is the one that the button takes again.
    before = page.get_attribute("#edited img", "src")
    page.click("#run")
    wait_for_change(page, "#edited", before)
    assert page.locator(".toast-body").count() == 0


def test_a_number_outside_of_a_sliders_range_is_used_as_it_is_then_shown(visit):
    page = visit()
    failed = []
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    field = page.locator("#strength input[type=number]")
    for typed, shown_as, brighter in (("9", "3", True), ("", "0", False)):
        before, source = shown(page, "#edited"), page.get_attribute("#edited img", "src")
        field.fill(typed)
        wait_for_change(page, "#edited", source)
        field.press("Tab")
        assert field.input_value() == shown_as
        assert (shown(page, "#edited").mean() > before.mean()) == brighter
    assert failed == []
    page.click("#settings button")
    page.locator("#settings").get_by_label("Seed").fill("-5")
    page.click("#run")
    wait_for_text(page, ".toast-body", "Seed: found -5, expected a whole number from 0 to 4294967296")


def test_a_name_with_markup_is_text(visit, tmp_path):
    page = visit()
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    path.write_text("no picture")
    page.on("dialog", lambda dialog: pytest.fail("a file's name ran as a script"))
    upload(page, path)
    wait_for_text(page, ".toast-body", "found plain text")
    assert page.locator(".toast-body img").count() == 0


def test_two_visitors_do_not_see_each_other(visit, server, picture, tmp_path, scene):
    other_picture = tmp_path / "other.png"
    write_image(other_picture, scene[:60, ::-1] / scene.max())
    first, second = visit(), visit()
    upload(first, picture)
    upload(second, other_picture)
    wait_for_text(first, "#status", "280 x 180")
    wait_for_text(second, "#status", "140 x 60")
    second.locator("#strength input[type=number]").fill("2")
    second.locator("#strength input[type=number]").press("Enter")
    assert read_image(download(first, "#save-png", tmp_path)).pixels.shape == (180, 280, 3)
    assert download(second, "#save-png", tmp_path).name == "other_edited.png"
    np.testing.assert_array_equal(read_image(tmp_path / "holiday_edited.png").pixels, read_image(picture).pixels)


def test_visitors_of_the_same_example_save_their_own_edits(visit, tmp_path):
    pages = [visit() for _ in range(2)]
    saved = []
    for strength, page in zip(("0.5", "1.5"), pages, strict=True):
        source = page.get_attribute("#edited img", "src")
        page.locator("#strength input[type=number]").fill(strength)
        page.locator("#strength input[type=number]").press("Enter")
        wait_for_change(page, "#edited", source)
    for number, page in enumerate(pages):
        folder = tmp_path / str(number)
        folder.mkdir()
        saved.append(read_image(download(page, "#save-exr", folder)).pixels)
    np.testing.assert_allclose(saved[1], 3 * saved[0], rtol=1e-4, atol=1e-7)


def test_an_exr_is_opened_with_its_range(visit, tmp_path, scene):
    page = visit()
    path = tmp_path / "render.exr"
    write_image(path, scene, format="exr")
    page.locator("#other").locator("xpath=..").locator("input[type=file]").first.set_input_files(path)
    wait_for_text(page, "#status", "140 x 90")
    layers = [download(page, f"#download-{layer}-exr", tmp_path) for layer in ("albedo", "shading")]
    product = np.prod([read_image(layer).pixels for layer in layers], axis=0)
    np.testing.assert_allclose(product, scene, rtol=1e-4, atol=1e-7)


def test_a_webcam_picture(visit):
    page = visit(permissions=["camera"])
    page.get_by_label("Remove Image").click()
    page.get_by_label("Capture from camera").click()
    page.locator("#picture").get_by_text("Click to Access Webcam").click()
    page.locator("#picture video").wait_for()
    page.wait_for_function("document.querySelector('#picture video').currentTime > 0.3")
    before = page.get_attribute("#edited img", "src")
    page.locator("#picture").get_by_label("capture photo").click()
    wait_for_change(page, "#edited", before)
    # Not the example's size, which was there before; texts follow pictures in a moment.
    page.wait_for_function("!document.querySelector('#status').innerText.includes('768 x 512')")


def test_files_end_with_the_session(visit, server, picture):
    page = visit()
    upload(page, picture)
    wait_for_text(page, "#status", "280 x 180")
    own = [path.parents[2] for path in server[1].rglob("session-*/photo/*/holiday_albedo.exr")]
    assert own
    page.context.close()
    deadline = time.monotonic() + 20
    while any(path.exists() for path in own) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(path.exists() for path in own)


def test_a_video_side_by_side(visit, tmp_path, write_clip):
    page = visit()
    page.get_by_role("tab", name="Video").click()
    for frames, seconds in ((50, None), (8, 0.8)):
        path = tmp_path / f"clip{frames}.mp4"
        write_clip(path, frames)
        if frames == 8:
            page.locator("#video").get_by_label("Clear").click()
        page.locator("#video input[type=file]").set_input_files(path)
        page.wait_for_selector("#video video")
        page.click("#run-video")
        if seconds is None:
            wait_for_text(page, ".toast-body", "clip50.mp4: found a video of 5.0 seconds, expected at most 3 seconds")
    wait_for_text(page, "#video-status", "8 frames")
    page.wait_for_function("document.querySelector('#video-result video').videoWidth === 420")
    assert download(page, "#download-clip-albedo", tmp_path).name == "clip8_albedo.mp4"


def test_both_themes_can_be_read(visit):
    page = visit(color_scheme="dark")
    for dark in (True, False):
        assert page.evaluate("document.body.classList.contains('dark')") == dark
        ink, paper = page.evaluate(
            "[getComputedStyle(document.querySelector('#brand p')).color, getComputedStyle(document.body).backgroundColor]"
            ".map(color => color.match(/[\\d.]+/g).slice(0, 3).map(Number))"
        )
        assert contrast(ink, paper) >= 4.5
        page.click("#theme")
    page.click("#theme")
    page.reload()
    page.wait_for_selector("#albedo img")
    assert not page.evaluate("document.body.classList.contains('dark')")


def test_it_fits_a_phone(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, color_scheme="light")
    assert not page.evaluate("document.body.classList.contains('dark')")
    for tab in ("Photo", "Video"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("tab", name="Photo").click()
    assert page.locator("#albedo").bounding_box()["width"] > 330


def contrast(ink: list[float], paper: list[float]) -> float:
    """WCAG 2.1 contrast ratio of two colours in [0, 255]."""
    from intrinsic_flow.media.color import luminance, srgb_to_linear

    light, dark = sorted((float(luminance(srgb_to_linear(np.array(c) / 255))) for c in (ink, paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
