"""The page in Chromium with the shipped model, as a visitor uses it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow.decomposition.decomposer import Decomposer
from intrinsic_flow.media.images import read_image

REPOSITORY = Path(__file__).parents[2]
ROOM = REPOSITORY / "examples" / "room.png"
# Of a loaded machine; the page itself takes a second or two.
PATIENCE = 240_000


@pytest.fixture(scope="module")
def context(browser, site):
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    yield context
    context.close()


@pytest.fixture
def visit(context, site):
    """Opens the page; fails on errors of scripts, and where anything is asked of another address."""
    faults, outside, pages = [], [], []

    def open_page(query: str = ""):
        page = context.new_page()
        pages.append(page)
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: outside.append(request.url))
        page.goto(f"{site.address}/{query}")
        page.wait_for_selector("body[data-ready]")
        return page

    yield open_page
    for page in pages:
        page.close()
    assert faults == []
    assert [url for url in outside if not url.startswith((site.address, "data:", "blob:"))] == []


def take(page, path: Path) -> None:
    page.evaluate("() => delete document.body.dataset.photo")
    page.set_input_files("#file", path)
    page.wait_for_selector("body[data-photo]")
    page.wait_for_selector("#state[data-state=ready]")


def download(page, what: str, folder: Path) -> Path:
    with page.expect_download() as event:
        page.click(f'[data-save="{what}"]')
    path = folder / event.value.suggested_filename
    event.value.save_as(path)
    return path


def codes(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(int)


@pytest.fixture
def photo(tmp_path) -> Path:
    """A part of an example, so that it does not take long in full either."""
    path = tmp_path / "room.png"
    cv2.imwrite(str(path), cv2.imread(str(ROOM))[128:384, 192:576])
    return path


def test_layers_are_those_of_the_command_line(visit, photo, tmp_path):
    page = visit()
    assert page.evaluate("() => crossOriginIsolated")
    take(page, photo)
    found = {
        what: download(page, what, tmp_path)
        for what in ("albedo png", "shading png", "shading json", "albedo exr", "shading exr")
    }
    assert found["albedo png"].name == "room_albedo.png"
    with Decomposer.load("small", backend="cpu") as model:
        result = model.decompose(photo)
        paths = result.save(tmp_path / "expected")
    for layer in ("albedo", "shading"):
        assert np.abs(codes(found[f"{layer} png"]) - codes(paths[layer])).max() <= 1
        np.testing.assert_allclose(read_image(found[f"{layer} exr"]).pixels, getattr(result, layer), rtol=2e-3, atol=1e-4)
    facts, expected = (json.loads(path.read_text()) for path in (found["shading json"], paths["sidecar"]))
    assert facts["shading_scale"] == pytest.approx(expected["shading_scale"], rel=1e-3)
    assert facts["exposure_gain"] == pytest.approx(expected["exposure_gain"], rel=1e-5)
    product = np.prod([read_image(found[f"{layer} exr"]).pixels for layer in ("albedo", "shading")], axis=0)
    np.testing.assert_allclose(product, read_image(photo).pixels, rtol=1e-5, atol=1e-7)

    # The surface under the cross is painted by the keyboard, the light is changed, all is taken back.
    stage = page.locator("#stage")
    stage.focus()
    for key in ("Shift+ArrowUp", "Shift+ArrowUp", "Shift+ArrowLeft", "Shift+ArrowLeft", "Enter"):
        stage.press(key)
    page.wait_for_selector("#note:has-text('Painted')")
    page.locator("#strength").fill("0.5")
    edited = read_image(download(page, "edited exr", tmp_path)).pixels
    assert edited.mean() < 0.7 * read_image(photo).pixels.mean()
    page.click("#reset")
    same = download(page, "edited png", tmp_path)
    assert np.abs(codes(same) - codes(photo)).max() <= 1

    # Without a network, in another tab.
    page.wait_for_selector("#state-more:has-text('works offline')")
    page.context.set_offline(True)
    try:
        page.reload()
        page.wait_for_selector("body[data-ready]")
        page.click("[data-example=objects]")
        page.wait_for_selector("body[data-photo]")
        assert "768 \u00d7 512" in page.inner_text("#facts")
    finally:
        page.context.set_offline(False)


def test_bad_files_are_one_line_and_the_photo_stays(visit, tmp_path):
    page = visit()
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), np.full((40, 50, 3), 90, np.uint8))
    take(page, small)
    assert page.inner_text("#facts").startswith("50 \u00d7 40")
    data = ROOM.read_bytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    for name, told in (
        ("half.png", "half.png: found"),
        ("text.jpg", "text.jpg: found no picture, expected JPEG, PNG, WebP or AVIF"),
        ("empty.png", "empty.png: found an empty file"),
        ("phone.heic", "phone.heic: found a HEIC file, which this browser does not open"),
    ):
        page.set_input_files("#file", tmp_path / name)
        page.wait_for_selector(f"#alert.shown:has-text('{told}')")
        page.wait_for_selector("#state[data-state=ready]")
    assert page.inner_text("#name") == "small.png"
    assert codes(download(page, "albedo png", tmp_path)).shape == (40, 50, 3)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_it_fits_and_can_be_read(browser, site, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, service_workers="block")
    page = context.new_page()
    page.goto(site.address)
    for hidden in ("", "() => { document.getElementById('work').hidden = false }"):
        if hidden:
            page.evaluate(hidden)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, [role=application]')].filter((e) =>
        !(e.ariaLabel || e.getAttribute('aria-label') || e.innerText?.trim() || e.labels?.length || e.hidden)).length"""
    )
    assert unnamed == 0
    assert page.evaluate("() => getComputedStyle(document.documentElement).colorScheme") == scheme
    context.close()
