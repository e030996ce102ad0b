"""The scores that stand beside the contrast, on pictures small enough to compute by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from intrinsic_flow.benchmarks import quality
from intrinsic_flow.benchmarks.scoring.baselines import TRIVIAL, Layers
from intrinsic_flow.benchmarks.scoring.datasets import (
    MultiIlluminationDataset,
    PhotometricStereoDataset,
    PublishedDataset,
    Sample,
    ShadowMovedDataset,
    ShardDataset,
    WhiteBalancedShardDataset,
)
from intrinsic_flow.benchmarks.scoring.metrics.cast_shadow import shadow_left
from intrinsic_flow.benchmarks.scoring.metrics.contrast import contrast_and_correlation
from intrinsic_flow.benchmarks.scoring.protocols.contrast import ContrastProtocol, OtherLightsProtocol, ShadowMovedProtocol
from intrinsic_flow.media.color import srgb_to_linear

MASK = np.ones((40, 40), bool)


def halves(left: float, right: float) -> np.ndarray:
    """(40, 40, 3) grey, two values side by side."""
    picture = np.full((40, 40, 3), left, np.float32)
    picture[:, 20:] = right
    return picture


def rows(left: float, right: float) -> np.ndarray:
    """The same, one above the other."""
    return halves(left, right).transpose(1, 0, 2)


def test_contrast_is_the_ratio_of_the_spreads_of_the_logarithms() -> None:
    # Two values alike in number spread by half the logarithm of their ratio: log(.4 / .1) against log(.2 / .05).
    scores = contrast_and_correlation(halves(0.199, 0.099), halves(0.4, 0.1), MASK)
    assert scores["contrast"] == pytest.approx(np.log(2) / np.log(4), rel=1e-5)
    assert scores["correlation"] == pytest.approx(1)
    assert contrast_and_correlation(halves(0.1, 0.4), halves(0.4, 0.1), MASK)["correlation"] == pytest.approx(-1)
    across = contrast_and_correlation(rows(0.2, 0.4), halves(0.4, 0.1), MASK)
    assert across["correlation"] == pytest.approx(0, abs=1e-9)


def test_the_dark_and_what_is_outside_the_mask_do_not_count() -> None:
    image, albedo = halves(0.4, 0.1), halves(0.2, 0.1)
    expected = contrast_and_correlation(albedo[:30], image[:30], MASK[:30])
    image[30:35], albedo[30:35] = 0.019, 0.9
    mask = MASK.copy()
    mask[35:], albedo[35:] = False, 0.001
    assert contrast_and_correlation(albedo, image, mask) == pytest.approx(expected)


def test_a_flat_albedo_has_no_contrast_and_no_correlation() -> None:
    assert contrast_and_correlation(np.ones((40, 40, 3)), halves(0.4, 0.1), MASK) == {"contrast": 0, "correlation": None}
    assert contrast_and_correlation(halves(0.2, 0.1), np.ones((40, 40, 3)), MASK)["contrast"] is None


def test_the_share_of_a_shadow_that_is_left_does_not_depend_on_the_exposure_of_the_answers() -> None:
    # The shadow darkens four times; in the albedo, which is answered at thrice the scale, by the square root of that.
    shadow = np.zeros((40, 40), bool)
    shadow[:, 20:] = True
    lit, image = np.full((40, 40, 3), 0.4, np.float32), halves(0.4, 0.1)
    left = shadow_left(image, lit, halves(0.6, 0.3), np.full((40, 40, 3), 0.2, np.float32), shadow)
    assert left == pytest.approx(0.5, abs=0.01)
    assert shadow_left(image, lit, halves(0.6, 0.6), lit, shadow) == pytest.approx(0, abs=1e-6)
    assert shadow_left(image, lit, image, lit, shadow) == pytest.approx(1, abs=0.01)


def test_a_shadow_too_small_or_too_faint_is_not_judged() -> None:
    lit, small, shadow = np.full((40, 40, 3), 0.4, np.float32), np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    small[:8, :8] = True  # of which the erosion leaves 2 x 2 pixels at a corner, where it has no outside
    shadow[:, 20:] = True
    assert shadow_left(halves(0.4, 0.1), lit, lit, lit, small) is None
    assert shadow_left(lit, lit, lit, lit, shadow) is None


def relative(protocol: ShadowMovedProtocol | OtherLightsProtocol, sample: Sample) -> dict[str, dict[str, float]]:
    methods = TRIVIAL | {"power": lambda image, mask: Layers(np.sqrt(image))}
    records, _ = protocol.judge(protocol.prepare(sample), methods)
    return {
        method: {
            key: column.value for key, column in protocol.combine([r for r in records if r["method"] == method]).items()
        }
        for method in ("image", "power", "constant")
    }


def write(path: Path, codes: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    quality_option = [cv2.IMWRITE_JPEG_QUALITY, 100] if path.suffix == ".jpg" else []
    assert cv2.imwrite(str(path), codes[..., ::-1] if codes.ndim == 3 else codes, quality_option)


@pytest.fixture
def shadows(tmp_path: Path) -> Path:
    """A scene of two bands, with a shadow over its right half, and one without its lit picture."""
    lit, image = rows(200, 100), rows(200, 100)
    image[:, 20:] /= 2
    write(tmp_path / "a_lit.jpg", lit)
    write(tmp_path / "a_1.jpg", image)
    write(tmp_path / "b_1.jpg", image)
    mask = np.zeros((40, 40), np.uint8)
    mask[:, 20:] = 255
    for name in ("a", "b"):
        write(tmp_path / f"{name}_1_mask.png", mask)
    return tmp_path


def test_neither_the_image_nor_a_power_of_it_nor_a_flat_answer_wins_over_a_shadow(shadows: Path) -> None:
    dataset = ShadowMovedDataset(shadows)
    assert list(dataset.names) == ["a"]
    scores = relative(ShadowMovedProtocol(), dataset.load("a"))
    assert scores["image"]["left"] == pytest.approx(1, abs=0.02) and scores["image"]["relative"] == pytest.approx(
        1, abs=0.02
    )
    assert scores["power"]["left"] == pytest.approx(0.5, abs=0.02)
    assert scores["power"]["relative"] == pytest.approx(1, abs=0.02)
    assert scores["constant"]["left"] == 0 and "relative" not in scores["constant"]


def test_a_flat_answer_is_the_last_row_and_a_set_of_few_scenes_chooses_nothing(
    shadows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--dataset", "shadow_moved", "--data", str(shadows), "--methods", "trivial", "retinex"]
    assert quality.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("| albedo | constant |")
    assert lines[-1] == "fewer than 10 scenes: reported, nothing is chosen by these numbers"


def test_the_change_under_other_lights_is_relative_to_the_images(tmp_path: Path) -> None:
    # Of the change of the logarithm the square root has half, as of the contrast.
    # Images (1, 1/4), (1/4, 1): 1 - (1/2)^2 / (17/16)^2 of the energy changes; of their square roots 1 - 1^2 / (5/4)^2.
    albedo, lights = np.full((40, 40, 3), 0.5, np.float32), (halves(1, 0.25), halves(0.25, 1))
    sample = Sample("a", lights[0], albedo, None, MASK, gray_shading=False, lights=lights)
    scores = relative(OtherLightsProtocol(), sample)
    seen, root = 1 - (0.5 / 1.0625) ** 2, 1 - (1 / 1.25) ** 2
    assert scores["image"]["change"] == pytest.approx(1, rel=1e-5)
    assert scores["power"]["change"] == pytest.approx(root / seen, rel=1e-5)
    assert scores["image"]["left"] == pytest.approx(1, abs=0.01)
    assert scores["power"]["left"] == pytest.approx(0.5, abs=0.01)
    assert scores["power"]["relative"] == pytest.approx(1, abs=0.01)
    assert scores["constant"]["change"] == pytest.approx(0, abs=1e-6) and "relative" not in scores["constant"]
    assert scores["constant"]["lmse"] == pytest.approx(0, abs=1e-9)


def test_rooms_and_objects_come_with_all_their_lights(tmp_path: Path) -> None:
    for letter, level in (("A", 100), ("B", 200)):
        write(tmp_path / "rooms" / f"hall_light{letter}.jpg", np.full((40, 40, 3), level, np.uint8))
    room = MultiIlluminationDataset(tmp_path / "rooms").load("hall")
    assert [float(light[0, 0, 0]) for light in room.lights] == pytest.approx(
        [float(srgb_to_linear(np.array(level / 255))) for level in (100, 200)], rel=0.02
    )
    folder = tmp_path / "objects" / "cat"
    for light in range(3):
        write(folder / f"light{light:02d}.png", np.full((40, 40, 3), 50 * (light + 1), np.uint8))
    mask = np.zeros((40, 40), np.uint8)
    mask[:20] = 255
    write(folder / "mask.png", mask)
    write(folder / "ps_albedo_linear16.png", np.full((40, 40, 3), 12345, np.uint16))
    cat = PhotometricStereoDataset(tmp_path / "objects").load("cat")
    assert [float(light[0, 0, 0]) for light in cat.lights] == pytest.approx([50 / 255, 100 / 255, 150 / 255])
    assert cat.mask.mean() == 0.5 and cat.albedo is not None and cat.albedo[cat.mask].max() == pytest.approx(1)


def test_published_answers_are_rows_beside_the_methods_without_the_frames_drawn_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.round(255 * np.random.default_rng(0).uniform(0.3, 0.9, (40, 60, 1))).astype(np.uint8).repeat(3, -1)
    squashed = cv2.resize(image, (40, 40), interpolation=cv2.INTER_AREA)
    framed = image.copy()
    framed[10, 5:30] = [0, 255, 0]
    framed[25:38, 30:50] = [0, 255, 0]  # a patch, which is part of the picture
    write(tmp_path / "outdoor" / "case1_input.png", image)
    write(tmp_path / "outdoor" / "case1_someone_2024_albedo.png", framed)
    write(tmp_path / "outdoor" / "case1_someone_2024_shading.png", framed)
    write(tmp_path / "outdoor" / "case1_other_pred_alb.png", squashed)
    sample = PublishedDataset(tmp_path).load("outdoor/case1")
    assert not sample.mask[10, 5:30].any() and sample.mask[20:].all()
    answers = ContrastProtocol().answers(sample, {})
    assert sorted(answers) == ["other", "someone_2024"]
    (score,) = ContrastProtocol().score(sample, answers["someone_2024"])
    assert score["contrast"] > 0.8 and score["correlation"] > 0.5
    assert quality.main(["--dataset", "rivals", "--data", str(tmp_path), "--methods", "trivial"]) == 0
    assert "| albedo | someone_2024 |" in capsys.readouterr().out


def test_the_truth_stands_beside_the_answers(tmp_path: Path, make: SimpleNamespace) -> None:
    sample = ShardDataset(make.shard(tmp_path / "val-00000.tar", 1)).load("v0")
    protocol = ContrastProtocol(expose=True)
    prepared = protocol.prepare(sample)
    records, _ = protocol.judge(prepared, TRIVIAL)
    truth = next(record for record in records if record["method"] == "truth")
    assert truth["contrast"] == contrast_and_correlation(sample.albedo, prepared.image, sample.mask)["contrast"]
    bright = Sample(**(vars(sample) | {"image": sample.image * 50}))
    again, _ = protocol.judge(protocol.prepare(bright), TRIVIAL)
    assert [r["contrast"] for r in again] == pytest.approx([r["contrast"] for r in records], rel=1e-4)


def test_a_white_balanced_view_has_a_neutral_light_and_the_same_albedo(tmp_path: Path, make: SimpleNamespace) -> None:
    shard = make.shard(tmp_path / "val-00000.tar", 1)  # its light is 1 : .8 : .6
    plain, balanced = ShardDataset(shard).load("v0"), WhiteBalancedShardDataset(shard).load("v0")
    light = balanced.shading[balanced.mask].mean(0)
    np.testing.assert_allclose(light, light[0], rtol=1e-4)
    np.testing.assert_array_equal(balanced.albedo, plain.albedo)
    # The luminance of the light stays: .2126 + .7152 * .8 + .0722 * .6 for each channel.
    gains = 0.82808 / np.array([1, 0.8, 0.6])
    lit = plain.mask & (plain.image.min(-1) > 0.02)
    np.testing.assert_allclose((balanced.image / plain.image)[lit], np.broadcast_to(gains, (lit.sum(), 3)), rtol=0.03)
