"""Protocols on the same predictions give the different numbers that their definitions say, computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from intrinsic_flow.benchmarks.scoring.baselines import Layers
from intrinsic_flow.benchmarks.scoring.datasets import Sample
from intrinsic_flow.benchmarks.scoring.metrics import layers as metrics
from intrinsic_flow.benchmarks.scoring.metrics.shading_gradient import ShadingLabels
from intrinsic_flow.benchmarks.scoring.protocols import BENCHMARKS, Protocol, protocols_of
from intrinsic_flow.benchmarks.scoring.protocols.labels import ConstancyProtocol, SawProtocol
from intrinsic_flow.benchmarks.scoring.protocols.layers import (
    BarronProtocol,
    CareagaProtocol,
    FlowIidProtocol,
    GrosseProtocol,
    HypersimProtocol,
    NativeProtocol,
)


def halves(left: list[float], right: list[float], size: int = 512) -> np.ndarray:
    """(size, size, 3) float32 of two colours, half the columns each."""
    picture = np.empty((size, size, 3), np.float32)
    picture[:, : size // 2], picture[:, size // 2 :] = left, right
    return picture


def sample_of(albedo: np.ndarray, shading: np.ndarray, gray: bool = False) -> Sample:
    return Sample("v", albedo * shading, albedo, shading, np.ones(albedo.shape[:2], bool), gray_shading=gray)


def scores(protocol: Protocol, sample: Sample, method: Callable[[np.ndarray], Layers]) -> dict[str, dict[str, float]]:
    """Layer -> scores of one method."""
    prepared = protocol.prepare(sample)
    records, _ = protocol.judge(prepared, {"m": lambda image, mask: method(image)})
    return {record["layer"]: record for record in records}


def flat(value: float) -> Callable[[np.ndarray], Layers]:
    return lambda image: Layers(np.full_like(image, value), np.full_like(image, value))


def test_arap_protocols_give_their_own_numbers_for_one_albedo() -> None:
    """Truth .2 | .6 grey, prediction 1: the best scale is .4, the error .2 everywhere."""
    sample = sample_of(halves([0.2] * 3, [0.6] * 3), np.ones((512, 512, 3), np.float32))
    flowiid, careaga = (scores(p(), sample, flat(1.0))["albedo"] for p in (FlowIidProtocol, CareagaProtocol))
    assert flowiid["mse"] == pytest.approx((0.8**2 + 0.4**2) / 2, rel=1e-5)
    assert flowiid["rmse"] == pytest.approx(np.sqrt(0.4), rel=1e-5)
    assert flowiid["si_mse"] == careaga["si_mse"] == pytest.approx(0.04, rel=1e-5)
    assert flowiid["si_rmse"] == pytest.approx(0.2, rel=1e-5)
    # chrislib adds up the channels' squares; with a grey truth they are one channel.
    assert careaga["rmse"] == pytest.approx(0.2, rel=1e-5)
    # flowiid: 256 columns, edge at 128; of 24 windows of 20 two straddle it, .1 and .6 of their columns on the right.
    errors = 0.16 * (0.1 * 0.9 + 0.6 * 0.4)
    energy = 11 * 0.04 + (0.9 * 0.04 + 0.1 * 0.36) + (0.4 * 0.04 + 0.6 * 0.36) + 11 * 0.36
    assert flowiid["lmse"] == pytest.approx(errors / energy, rel=1e-4)
    # careaga: 512 columns, edge at 256; of 63 windows of 16 one straddles it, half on either side.
    assert careaga["lmse"] == pytest.approx(0.04 / (31 * 0.04 + 0.2 + 31 * 0.36), rel=1e-4)


def test_rmse_of_a_coloured_albedo_is_over_pixels_for_careaga_and_over_values_for_flowiid() -> None:
    truth = halves([0.2, 0.3, 0.2], [0.6, 0.5, 0.6])
    sample = sample_of(truth, np.ones_like(truth))
    flowiid, careaga = (scores(p(), sample, flat(1.0))["albedo"] for p in (FlowIidProtocol, CareagaProtocol))
    assert careaga["rmse"] == pytest.approx(np.sqrt(3) * flowiid["si_rmse"], rel=1e-5)


def test_grey_shading_is_a_mean_for_flowiid_and_weighted_for_careaga() -> None:
    """Truth is grey .5; the prediction is .8, .2, .5 on the left (mean .5, weighted .413) and grey .5 on the right."""
    gray = np.full((512, 512, 3), 0.5, np.float32)
    sample = sample_of(np.full_like(gray, 0.5), gray)

    def tinted(image: np.ndarray) -> Layers:
        return Layers(shading=halves([0.8, 0.2, 0.5], [0.5] * 3, len(image)))

    flowiid, careaga = (scores(p(), sample, tinted)["shading"] for p in (FlowIidProtocol, CareagaProtocol))
    assert flowiid["mse"] == pytest.approx(0, abs=1e-9) and flowiid["ssim"] == pytest.approx(1)
    left, right, truth = 0.3 * 0.8 + 0.59 * 0.2 + 0.11 * 0.5, 0.5, 1.0  # truth / its 99th percentile
    scale = (left + right) * truth / (left**2 + right**2)
    expected = ((scale * left - truth) ** 2 + (scale * right - truth) ** 2) / 2
    assert careaga["si_mse"] == pytest.approx(expected, rel=1e-4)
    assert careaga["rmse"] == pytest.approx(np.sqrt(expected), rel=1e-4)


def test_flowiid_masks_at_004_and_careaga_does_not() -> None:
    truth = halves([0.003] * 3, [0.5] * 3)
    sample = sample_of(truth, np.ones_like(truth))
    prepared = FlowIidProtocol().prepare(sample)
    assert not prepared.mask[:, :127].any() and prepared.mask[:, 129:].all()
    assert prepared.mask.shape == (256, 256)
    assert CareagaProtocol().prepare(sample).mask.all()
    dark = FlowIidProtocol().prepare(sample_of(np.full_like(truth, 0.003), np.ones_like(truth)))
    assert dark.mask.all()  # under a tenth would be left, so half of the threshold


def test_flowiid_ssim_sees_what_is_masked_and_the_scale_ours_does_not() -> None:
    truth = halves([0.001] * 3, [0.5] * 3)
    sample = sample_of(truth, np.ones_like(truth))

    def wrong_left(image: np.ndarray) -> Layers:
        return Layers(albedo=halves([0.9] * 3, [0.5] * 3, len(image)))

    flowiid = scores(FlowIidProtocol(), sample, wrong_left)["albedo"]
    assert flowiid["si_mse"] < 1e-3 and flowiid["ssim"] < 0.9
    halved = scores(FlowIidProtocol(), sample, lambda image: Layers(albedo=image * 0.5))["albedo"]
    assert halved["si_mse"] == pytest.approx(0, abs=1e-6) and halved["ssim"] < 0.95
    masked = replace(sample, mask=truth[..., 0] > 0.01)
    native = scores(NativeProtocol(), masked, wrong_left)["albedo"]
    assert native["ssim"] == pytest.approx(1, abs=1e-6)


def test_careaga_keeps_the_aspect_ratio_and_flowiid_squashes() -> None:
    albedo = np.random.default_rng(0).uniform(0.1, 0.9, (300, 800, 3)).astype(np.float32)
    sample = sample_of(albedo, np.ones_like(albedo))
    assert CareagaProtocol().prepare(sample).image.shape == (192, 512, 3)
    assert FlowIidProtocol().prepare(sample).image.shape == (256, 256, 3)


def test_lights_of_a_scene_count_once_for_careaga_and_each_for_flowiid() -> None:
    albedo = halves([0.2] * 3, [0.6] * 3)
    scenes = [("a", "s1", 1.0), ("b", "s1", 1.0), ("c", "s2", 0.0)]
    means = {}
    for protocol in (FlowIidProtocol(), CareagaProtocol()):
        records = []
        for name, group, mix in scenes:
            sample = replace(sample_of(albedo, np.ones_like(albedo)), name=name, group=group)
            prepared = protocol.prepare(sample)
            answer = prepared.albedo * (1 - mix) + mix
            records += protocol.judge(prepared, {"m": lambda image, mask, answer=answer: Layers(albedo=answer)})[0]
        means[protocol.name] = protocol.combine(records)["si_mse"].value
    assert means["flowiid"] == pytest.approx(2 / 3 * 0.04, rel=1e-4)
    assert means["careaga"] == pytest.approx(1 / 2 * 0.04, rel=1e-4)


def test_mit_protocols_give_their_own_numbers_for_one_albedo() -> None:
    """Truth (.2, .4, .6), prediction (.6, .4, .2): equal as grey and per channel, not with one scale for channels."""
    truth = np.full((60, 60, 3), [0.2, 0.4, 0.6], np.float32)
    sample = sample_of(truth, np.ones_like(truth), gray=True)

    def reversed_channels(image: np.ndarray) -> Layers:
        return Layers(truth[..., ::-1], np.full_like(truth, 0.5))

    native, barron, grosse = (
        scores(p(), sample, reversed_channels) for p in (NativeProtocol, BarronProtocol, GrosseProtocol)
    )
    assert native["albedo"]["lmse"] == pytest.approx(1 - (0.4 / 0.56) ** 2, rel=1e-5)
    assert barron["albedo"]["lmse"] == pytest.approx(0, abs=1e-9)
    assert barron["albedo"]["mse"] == pytest.approx((1 - (0.4 / 0.56) ** 2) * 0.56 / 3, rel=1e-5)
    assert grosse["albedo"]["lmse"] == grosse["both"]["lmse"] == pytest.approx(0, abs=1e-9)
    assert barron["albedo"]["dssim"] == pytest.approx((1 - native["albedo"]["ssim"]) / 2, rel=1e-9)


def test_grosse_averages_albedo_and_shading() -> None:
    rng = np.random.default_rng(1)
    truth, guess = rng.uniform(0.1, 0.9, (2, 60, 60, 3)).astype(np.float32)
    shading = np.ones_like(truth)
    shading[:, 33:] = 0.3
    found = scores(GrosseProtocol(), sample_of(truth, shading, gray=True), lambda image: Layers(guess, shading * guess))
    assert found["both"]["lmse"] == pytest.approx((found["albedo"]["lmse"] + found["shading"]["lmse"]) / 2)
    gray = [layer.mean(-1, keepdims=True).repeat(3, -1) for layer in (guess, truth)]
    assert found["albedo"]["lmse"] == pytest.approx(metrics.lmse(*gray, np.ones((60, 60), bool)))


def test_barron_reports_arithmetic_and_geometric_means() -> None:
    protocol = BarronProtocol()
    records = [{"group": g, "mse": m, "lmse": 0.1, "dssim": 0.2} for g, m in (("a", 0.01), ("b", 0.04))]
    columns = protocol.combine(records)
    assert columns["mse"].value == pytest.approx(0.025) and columns["mse_geometric"].value == pytest.approx(0.02)


def saw_sample() -> tuple[Sample, np.ndarray]:
    """Boundaries at a step of light, one smooth region beside it, and a shading that has the step and nothing else."""
    classes = np.full((40, 40), 100, np.uint8)
    classes[:10, 19:21], classes[20:30, 19:21] = 0, 1
    classes[5:25, 23] = 2  # no gradient of its own, but within ten pixels of the step
    shading = np.ones((40, 40, 3), np.float32)
    shading[:, :20] = 0.5
    sample = Sample("v", shading, None, None, classes <= 2, gray_shading=True, labels=ShadingLabels(classes))
    return sample, shading


def test_saw_protocols_give_their_own_numbers_for_one_shading() -> None:
    """With the filter everywhere all labels look alike: (0, 1) to (1, .5). Without it at smooth ones they do not."""
    sample, shading = saw_sample()
    found = {v: scores(SawProtocol(v), sample, lambda image: Layers(shading=shading)) for v in ("weighted", "unweighted")}
    assert found["weighted"]["shading"]["ap"] == pytest.approx(0.75)
    assert found["unweighted"]["shading"]["ap"] == pytest.approx(1.0)


def test_a_view_whose_truth_is_of_another_kind_is_named() -> None:
    labelled, shading = saw_sample()
    with pytest.raises(TypeError, match="v: found NoneType as labels, expected ShadingLabels"):
        SawProtocol("weighted").score(sample_of(shading, shading), Layers(shading=shading))
    with pytest.raises(ValueError, match="v: found no dense truth, expected albedo and shading"):
        FlowIidProtocol().prepare(labelled)


def test_the_saw_challenge_counts_smooth_regions_by_the_photos_gradient() -> None:
    """Two smooth regions of ten pixels: A is smooth in shading and photo, B has more gradient than the boundaries."""
    sample, shading = saw_sample()
    classes = sample.labels.classes.copy()
    classes[5:25, 23] = 100
    classes[10:20, 2], classes[10:20, 36] = 2, 2
    shading = shading.copy()
    shading[:, 36:] = 9.0
    image = np.full_like(shading, 0.3)
    image[:, 36:] = 0.6  # the photo has no gradient in A
    sample = replace(sample, image=image, mask=classes <= 2, labels=ShadingLabels(classes))
    answer = {v: scores(SawProtocol(v), sample, lambda i: Layers(shading=shading)) for v in ("unweighted", "challenge")}
    # unweighted: half of smooth at once, then both boundaries, then the rest.
    assert answer["unweighted"]["shading"]["ap"] == pytest.approx(0.5 + 0.5 * (1 / 3 + 1 / 2) / 2)
    # challenge: A weighs nothing: nothing right, then both boundaries wrong, then everything.
    assert answer["challenge"]["shading"]["ap"] == pytest.approx((0 + 1 / 2) / 2)


def test_saw_pools_counts_over_photos_and_gives_an_interval() -> None:
    protocol = SawProtocol("weighted")
    sample, shading = saw_sample()
    separable = shading.copy()
    separable[:, :18], separable[:, 21:] = 0.5, 0.5  # a dark line at the boundaries, smooth pixels out of its reach
    classes = sample.labels.classes.copy()
    classes[5:25, 23], classes[5:25, 35] = 100, 2
    far = replace(sample, labels=ShadingLabels(classes), mask=classes <= 2)
    records = []
    for number, (one, answer) in enumerate([(sample, shading), (far, separable), (sample, shading), (far, separable)]):
        view = replace(one, name=str(number))
        records += protocol.judge(view, {"m": lambda image, mask, answer=answer: Layers(shading=answer)})[0]
    pooled = protocol.combine(records)["ap"]
    assert [record["ap"] for record in records] == pytest.approx([0.75, 1, 0.75, 1])
    low, high = pooled.interval
    assert 0.75 < pooled.value < 1 and low <= pooled.value <= high and low < high


def test_a_saw_photo_without_all_labels_counts_but_has_no_score_of_its_own() -> None:
    protocol = SawProtocol("weighted")
    sample, shading = saw_sample()
    classes = sample.labels.classes.copy()
    classes[classes == 1] = 100
    partial = replace(sample, labels=ShadingLabels(classes))
    records = [scores(protocol, one, lambda image: Layers(shading=shading))["shading"] for one in (partial, sample)]
    assert records[0]["ap"] is None and protocol.combine(records)["ap"].value == pytest.approx(0.75)
    assert protocol.combine(records[:1]) == {}


def test_constancy_asks_every_light_and_shows_the_first_and_the_last() -> None:
    rng = np.random.default_rng(2)
    albedo = rng.uniform(0.2, 0.9, (40, 40, 3)).astype(np.float32)
    lights = tuple(albedo * np.float32(gray) for gray in (1.0, 0.5, 0.25))
    sample = replace(sample_of(albedo, np.ones_like(albedo), gray=True), lights=lights)
    seen = []

    def identity(image: np.ndarray, mask: np.ndarray) -> Layers:
        seen.append(image)
        return Layers(albedo=image)

    records, shown = ConstancyProtocol().judge(sample, {"m": identity, "constant": identity})
    assert len(seen) == 6 and all(any(light is image for image in seen) for light in lights)
    assert records[0]["change"] == pytest.approx(0, abs=1e-9) and records[0]["lights"] == 3
    assert records[0]["lmse"] == pytest.approx(0, abs=1e-9)
    assert list(shown) == ["m first", "m last"] and shown["m last"].albedo is lights[-1]
    assert ConstancyProtocol().judge(replace(sample, lights=lights[:1]), {"m": identity})[0] == []


def test_hypersim_leaves_lpips_out_where_it_cannot_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    from intrinsic_flow.benchmarks.scoring.protocols import layers as module

    sample = sample_of(halves([0.2] * 3, [0.6] * 3, 64), np.ones((64, 64, 3), np.float32))
    monkeypatch.setattr(module, "why_unavailable", lambda: "no LPIPS: not here")
    protocol = HypersimProtocol()
    without = scores(protocol, sample, flat(1.0))["albedo"]
    assert "lpips" not in without and "lpips" not in protocol.combine([without]) and protocol.notes()
    monkeypatch.setattr(module, "why_unavailable", lambda: None)
    monkeypatch.setattr(module, "lpips_distance", lambda a, b: float(np.abs(a - b).mean()))
    protocol = HypersimProtocol()
    assert protocol.notes() == []
    assert scores(protocol, sample, flat(1.0))["albedo"]["lpips"] == pytest.approx(0.2, rel=1e-5)


def test_psnr_is_that_of_the_aligned_layer_in_srgb() -> None:
    truth = halves([0.2] * 3, [0.6] * 3, 64)
    mask = np.ones((64, 64), bool)
    encode = lambda x: 1.055 * x ** (1 / 2.4) - 0.055  # noqa: E731
    error = ((encode(0.4) - encode(0.2)) ** 2 + (encode(0.4) - encode(0.6)) ** 2) / 2
    assert metrics.psnr(np.ones_like(truth), truth, mask) == pytest.approx(-10 * np.log10(error), rel=1e-4)
    assert metrics.psnr(truth * 3, truth, mask) > 99


def test_a_method_with_broken_output_is_named() -> None:
    ones = np.ones((32, 32, 3), np.float32)
    sample = Sample("view7", ones, ones, ones, np.ones((32, 32), bool), gray_shading=False)
    for wrong in (np.full_like(ones, np.nan), ones[:16]):
        with pytest.raises(ValueError, match="broken: albedo of view7"):
            NativeProtocol().judge(sample, {"broken": lambda image, mask, wrong=wrong: Layers(albedo=wrong)})


def test_every_set_has_protocols_with_distinct_names_and_a_text() -> None:
    assert {"arap", "hypersim", "iiw", "maw", "mit", "photos", "published", "saw", "shards"} <= set(BENCHMARKS)
    for dataset, benchmarks in BENCHMARKS.items():
        assert len(protocols_of(dataset)) == len(benchmarks)
        assert all(len(benchmark.protocol.text) > 100 for benchmark in benchmarks)
