"""The page's arithmetic and files against the runtime's, in a browser and without a model."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from intrinsic_flow.decomposition.exposure import ToneMap, exposure_gain
from intrinsic_flow.decomposition.noise import cut
from intrinsic_flow.decomposition.working_size import pad, resize, working_size
from intrinsic_flow.demo import editing
from intrinsic_flow.media.color import linear_to_srgb, srgb_to_linear
from intrinsic_flow.media.images import read_image

WEB = Path(__file__).parents[2] / "web"


@pytest.fixture(scope="module")
def page(browser):
    from .conftest import Site

    site = Site(WEB)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site.address}/icon.svg")
    yield page
    context.close()
    site.close()


def call(page, module: str, code: str, argument: object = None) -> object:
    """Runs `code`, the body of a function of the module `m` and the argument `x`, in the browser."""
    return page.evaluate(f"async (x) => {{ const m = await import('/js/{module}.js'); {code} }}", argument)


def planes(image: np.ndarray) -> list[float]:
    return image.transpose(2, 0, 1).ravel().tolist()


def as_image(values: list[float], height: int, width: int) -> np.ndarray:
    return np.array(values, np.float32).reshape(3, height, width).transpose(1, 2, 0)


def test_the_curves(page):
    codes = np.array(call(page, "color", "return [...m.linearOfCodes(255)]"))
    np.testing.assert_allclose(codes, srgb_to_linear(np.arange(256) / 255), rtol=1e-6)
    light = np.concatenate([np.linspace(0, 1.2, 4001), np.geomspace(1e-7, 1, 500)])
    found = call(page, "color", "return x.map(m.toSrgb)", light.tolist())
    np.testing.assert_allclose(found, linear_to_srgb(light.clip(0, 1)), atol=2e-6)


@pytest.mark.parametrize("size", [(512, 768), (4000, 300), (20, 33), (1, 1), (30, 5000), (333, 257), (2048, 3072)])
def test_working_sizes(page, size):
    for resolution in (256, 384):
        expected = working_size(*size, resolution)
        found = call(page, "resample", "return m.workingSize(...x)", [*size, resolution])
        assert (found["height"], found["width"]) == (expected.height, expected.width)


@pytest.mark.parametrize(
    ("size", "to"), [((90, 140), (32, 50)), ((60, 60), (60, 60)), ((8, 50), (32, 40)), ((1, 1), (32, 32))]
)
def test_resampling_and_padding(page, size, to):
    codes = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    light = srgb_to_linear(codes / np.float32(255)).astype(np.float32)
    found = call(
        page,
        "resample",
        """const { Picture } = await import('/js/picture.js');
        const picture = Object.assign(new Picture(x.width, x.height, 255), { codes: Uint8Array.from(x.codes) });
        const [image] = m.resample(picture, [{ height: x.to[0], width: x.to[1] }]);
        const padded = m.padded(image);
        return { image: [...image.data], padded: [...padded.data], size: [padded.height, padded.width] };""",
        {"width": size[1], "height": size[0], "codes": codes.ravel().tolist(), "to": to},
    )
    expected = resize(light, *to)
    np.testing.assert_allclose(as_image(found["image"], *to), expected, atol=2e-6)
    np.testing.assert_allclose(as_image(found["padded"], *found["size"]), pad(expected), atol=2e-6)


@pytest.mark.parametrize("power", [1, 8])
def test_exposure(page, power):
    image = np.random.default_rng(1).random((40, 50, 3), np.float32) ** power
    image[:5] = 0
    code = "return m.exposureGain({ data: Float32Array.from(x.data) }, x.rule)"
    for picture in (image, 0 * image, 1e5 * image):
        found = call(page, "exposure", code, {"data": planes(picture), "rule": ToneMap().to_dict()})
        assert found == pytest.approx(exposure_gain(picture), rel=1e-5)


def test_start_noise(page):
    tile = WEB.parent / "runtime" / "models" / "small" / "noise.npy"
    code = """const bytes = Uint8Array.from(atob(x), (c) => c.charCodeAt(0));
        return [...m.cut(m.readTile(bytes.buffer), 6, 70)]"""
    found = call(page, "noise", code, base64.b64encode(tile.read_bytes()).decode())
    np.testing.assert_array_equal(np.array(found).reshape(1, 12, 6, 70), cut(np.load(tile).astype(np.float32), 6, 70))


@pytest.mark.parametrize(("depth", "channels"), [(8, 3), (8, 4), (16, 3), (16, 4), (8, 1), (16, 1)])
def test_pngs_are_read_as_they_are(page, tmp_path, depth, channels):
    kind = np.uint8 if depth == 8 else np.uint16
    codes = np.random.default_rng(2).integers(0, 2**depth, (23, 31, channels), kind)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), codes)
    found = call(
        page,
        "picture",
        """const bytes = Uint8Array.from(atob(x), (c) => c.charCodeAt(0));
        const picture = await m.readPicture(new Blob([bytes]), 'a.png');
        return { codes: [...picture.codes], alpha: picture.alpha && [...picture.alpha], levels: picture.levels };""",
        base64.b64encode(path.read_bytes()).decode(),
    )
    colors = np.repeat(codes, 3, axis=2) if channels == 1 else codes[..., 2::-1]
    np.testing.assert_array_equal(np.array(found["codes"]).reshape(23, 31, 3), colors)
    assert found["levels"] == 2**depth - 1
    if channels == 4:
        np.testing.assert_array_equal(np.array(found["alpha"]).reshape(23, 31), codes[..., 3])
    else:
        assert found["alpha"] is None


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_pngs_are_written(page, tmp_path, depth, alpha):
    channels = 4 if alpha else 3
    codes = np.random.default_rng(3).integers(0, 2**depth, (21, 17, channels)).astype(">u2" if depth == 16 else np.uint8)
    data = call(
        page,
        "png",
        """const writer = new m.PngWriter(17, 21, x);
        const row = 17 * (x.alpha ? 4 : 3) * x.depth / 8;
        const bytes = Uint8Array.from(x.bytes);
        for (let y = 0; y < 21; y += 4) await writer.write(bytes.subarray(y * row, Math.min(y + 4, 21) * row));
        return [...new Uint8Array(await (await writer.finish()).arrayBuffer())];""",
        {"depth": depth, "alpha": alpha, "bytes": list(codes.tobytes())},
    )
    path = tmp_path / "b.png"
    path.write_bytes(bytes(data))
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found[..., [2, 1, 0, 3][:channels]], codes)


def test_exrs_are_written_exactly(page, tmp_path):
    light = np.random.default_rng(4).random((37, 19, 4), np.float32) ** 5 * 900
    light[..., 3] = np.linspace(0, 1, 19)
    data = call(
        page,
        "exr",
        """const writer = new m.ExrWriter(19, 37, { alpha: true });
        const channel = (c, top, rows) => Float32Array.from(x.slice((c * 37 + top) * 19, (c * 37 + top + rows) * 19));
        for (const [top, rows] of [[0, 5], [5, 20], [25, 12]])
          await writer.write(Object.fromEntries([...'RGBA'].map((name, c) => [name, channel(c, top, rows)])), rows);
        return [...new Uint8Array(await (await writer.finish()).arrayBuffer())];""",
        light.transpose(2, 0, 1).ravel().tolist(),
    )
    path = tmp_path / "c.exr"
    path.write_bytes(bytes(data))
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, light[..., :3])
    np.testing.assert_array_equal(image.alpha, light[..., 3])


@pytest.mark.parametrize("everywhere", [False, True])
def test_paint_is_that_of_the_demo(page, everywhere):
    random = np.random.default_rng(5)
    albedo = 0.5 + 0.02 * random.standard_normal((40, 60, 3)).astype(np.float32)
    albedo[:, 20:30] = (0.1, 0.6, 0.2)
    albedo[:15, 50:] = (0.7, 0.2, 0.1)
    edit = editing.Recolour(0.9, 0.8, (0.05, 0.1, 0.6), everywhere=everywhere)
    expected = editing.recolour(albedo, editing.select(albedo, edit), edit.color)
    found = call(
        page,
        "editing",
        """const albedo = Float32Array.from(x.albedo);
        const size = { height: 40, width: 60 };
        const selection = m.select({ ...size, albedo }, { x: 0.9, y: 0.8, tolerance: 18, everywhere: x.everywhere });
        const edits = [{ selection, color: [0.05, 0.1, 0.6] }];
        const preview = [...m.recolourPreview(albedo, edits)];
        m.recolourStrip(albedo, edits, 0, 40, size);
        return { preview, strip: [...albedo] };""",
        {"albedo": planes(albedo), "everywhere": everywhere},
    )
    assert np.abs(expected - albedo).max() > 0.2
    for name in ("preview", "strip"):
        np.testing.assert_allclose(as_image(found[name], 40, 60), expected, atol=2e-4)


def test_light_is_that_of_the_demo(page):
    shading = np.random.default_rng(6).random((30, 20, 3), np.float32) * 3
    level = editing.light_level(shading)
    for kelvin in (2000, 3000, 6500, 12000):
        light = editing.Light(1.3, 0.6, kelvin, (1.0, 0.5, 0.2))
        found = call(
            page,
            "editing",
            """const shading = Float32Array.from(x.shading);
            const level = m.lightLevel(shading);
            m.relight(shading, x.light, level);
            return { level, shading: [...shading] };""",
            {
                "shading": planes(shading),
                "light": {"strength": 1.3, "contrast": 0.6, "kelvin": kelvin, "tint": list(light.tint)},
            },
        )
        assert found["level"] == pytest.approx(level, rel=1e-4)
        np.testing.assert_allclose(
            as_image(found["shading"], 30, 20), editing.relight(shading, light, level), rtol=1e-4, atol=1e-6
        )
