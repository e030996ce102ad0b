"""Makes the pages' pictures of the shipped model anew: docs/preview.jpg and docs/demo.jpg.

    python docs/pictures.py                       # both
    python docs/pictures.py preview               # input, albedo and shading of two examples
    python docs/pictures.py demo                  # the demo in Chromium, a wall painted and the light made warm

The demo's needs `.[demo]`, Playwright and Chromium.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import generated  # noqa: F401 (lets the script see the tree that it lies in)
import numpy as np

from intrinsic_flow import Decomposer
from intrinsic_flow.media.color import linear_to_srgb

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = ("room", "objects")
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 88]
# The wall above the sofa in the picture that the demo opens with, as shares of its width and height.
WALL = (0.4, 0.42)


def preview() -> None:
    """Input | albedo | shading of two examples, 1500 pixels wide."""
    with Decomposer.load("small", "cpu") as model:
        rows = [model.decompose(REPOSITORY / "examples" / f"{name}.png").side_by_side(500) for name in EXAMPLES]
    codes = np.rint(linear_to_srgb(np.vstack(rows)) * 255).astype(np.uint8)
    cv2.imwrite(str(REPOSITORY / "docs" / "preview.jpg"), codes[..., ::-1], QUALITY)


def demo() -> None:
    """The whole page, 1000 pixels wide, with an edit under way."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    command = [sys.executable, "-m", "runtime.app", "--port", "7869", "--bundle", "small"]
    server = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found, "the demo did not say its address"
        with sync_playwright() as tool:
            browser = tool.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1250, "height": 1100}, device_scale_factor=0.8, color_scheme="light")
            page.goto(found[0])
            image = page.locator("#edited img")
            image.scroll_into_view_if_needed()
            box = image.bounding_box()
            assert box is not None
            image.click(position={"x": box["width"] * WALL[0], "y": box["height"] * WALL[1]})
            page.wait_for_function("document.querySelector('#note').innerText.includes('Painted')")
            for name, value in (("contrast", "1.3"), ("kelvin", "4200")):
                before = image.get_attribute("src")
                field = page.locator(f"#{name} input[type=number]")
                field.fill(value)
                field.press("Enter")
                page.wait_for_function("b => document.querySelector('#edited img').src !== b", arg=before)
            page.wait_for_timeout(500)
            page.evaluate("window.scrollTo(0, 0)")
            page.screenshot(path=REPOSITORY / "docs" / "demo.jpg", full_page=True, type="jpeg", quality=QUALITY[1])
            browser.close()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def main() -> int:
    known = {"preview": preview, "demo": demo}
    for name in sys.argv[1:] or known:
        if name not in known:
            print(f"docs/pictures.py: found {name!r}, expected any of {', '.join(known)}", file=sys.stderr)
            return 2
        known[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
