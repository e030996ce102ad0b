"""Steadiness on made-up sequences whose truth is known: noise, motion, light, occlusion, cuts, and resuming."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from intrinsic_flow import Decomposer
from intrinsic_flow.decomposition.temporal import filter
from intrinsic_flow.decomposition.temporal.cuts import Thumbnail, is_cut
from intrinsic_flow.decomposition.temporal.filter import BLOCK, GAIN_FRAMES, LOOK_BACK, TemporalFilter
from intrinsic_flow.decomposition.temporal.flow import FlowEstimator, consistent, warp
from intrinsic_flow.decomposition.temporal.surface import match

HEIGHT, WIDTH = 96, 128


def texture(seed: int, height: int = HEIGHT, width: int = WIDTH, colors: bool = True) -> np.ndarray:
    """(height, width, 3) float32 albedo: soft blotches of about six pixels, between 0.15 and 0.75."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(size=(height, width, 3)).astype(np.float32), (0, 0), 2.5)
    noise /= noise.std()
    if not colors:
        noise[:] = noise[..., :1]
    return np.clip(0.45 + 0.1 * noise, 0.15, 0.75).astype(np.float32)


def lamp(strength: float = 1.0) -> np.ndarray:
    """(HEIGHT, WIDTH, 1) float32 shading that falls off to one side."""
    return (
        np.float32(strength)
        * np.linspace(1.2, 0.6, WIDTH, dtype=np.float32)[None, :, None]
        * np.ones((HEIGHT, 1, 1), np.float32)
    )


class FlickeringNetwork:
    """Estimates of a true albedo, off by a smooth error that is another one in every frame."""

    def __init__(self, strength: float = 0.1, seed: int = 0) -> None:
        self._rng, self._strength = np.random.default_rng(seed), strength

    def __call__(self, albedo: np.ndarray) -> np.ndarray:
        error = self._rng.normal(size=(4, 5, 3)).astype(np.float32)
        error = cv2.resize(error, albedo.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        return np.clip(albedo * np.exp(self._strength * error), 0, 1).astype(np.float32)


def run(albedos, shadings, network, noise=0.0, state=None):
    """Filtered albedo of each frame, and the images."""
    state, rng = state or TemporalFilter(), np.random.default_rng(1)
    steady, images = [], []
    for albedo, shading in zip(albedos, shadings):
        image = albedo * shading
        image = np.maximum(image * (1 + noise * rng.normal(size=image.shape)), 0).astype(np.float32)
        exposed = state.expose(image, 1.0)
        steady.append(state.steady(exposed, network(albedo)))
        images.append(image)
    return np.stack(steady), np.stack(images)


def flicker(layers: np.ndarray) -> float:
    return float(np.log(layers).std(axis=0).mean())


def test_what_rests_is_held_however_the_network_flickers():
    albedo, count = texture(0), 40
    alone = FlickeringNetwork(seed=1)(albedo)
    steady, _ = run([albedo] * count, [lamp()] * count, FlickeringNetwork(), noise=0.02)
    assert np.log(steady).std(axis=0).max() < 0.003
    assert np.abs(np.log(steady[-1] / albedo)).mean() < 1.5 * np.abs(np.log(alone / albedo)).mean()


def test_a_thing_that_moves_does_not_change_the_albedo_of_the_room():
    """The network sees the whole picture: wherever the thing is, it says something else of everything."""
    room, thing, truth = texture(20), texture(21) * np.array([0.3, 0.5, 0.9], np.float32), []
    for step in range(30):
        frame = room.copy()
        frame[30:60, 3 * step : 3 * step + 24] = thing[:30, :24]
        truth.append(frame)
    numbers = iter(range(30))
    steady, _ = run(
        truth, [lamp()] * 30, lambda true: true * np.float32(0.9 + 0.1 * np.sin(next(numbers) / 4)), noise=0.005
    )
    assert np.log(steady[:, 75:]).std(axis=0).mean() < 0.001


def test_the_albedo_that_image_and_shading_give_is_held_too():
    """Whatever a moving thing does to the fitted shading of what rests is taken back."""
    room, thing = texture(23), texture(24) * np.array([0.3, 0.5, 0.9], np.float32)
    state, results = TemporalFilter(), []
    for step in range(20):
        albedo = room.copy()
        albedo[30:60, 2 * step : 2 * step + 24] = thing[:30, :24]
        exposed = state.expose(albedo * lamp(), 1.0)
        fitted = state.steady(exposed, albedo) * np.float32(0.9 + 0.08 * np.sin(step))
        factors = state.settle(exposed, fitted)
        assert step or np.abs(factors - 1).max() < 1e-6
        results.append(fitted * factors)
    assert np.log(np.stack(results)[:, :, 75:]).std(axis=0).max() < 1e-3


def test_what_comes_out_from_behind_a_thing_is_learned_from_several_frames():
    room, thing, truth = texture(22), np.full((40, 60, 3), 0.1, np.float32), []
    for step in range(40):
        frame = room.copy()
        if step < 10:
            frame[20:60, 30:90] = thing
        truth.append(frame)
    network = FlickeringNetwork(seed=3)
    steady, _ = run(truth, [lamp()] * 40, network)
    uncovered, rest = np.s_[28:52, 38:82], np.s_[70:, :]
    error = [np.abs(np.log(steady[-1] / room))[where].mean() for where in (uncovered, rest)]
    assert error[0] < 0.6 * error[1]
    assert np.log(steady[30:])[:, 28:52, 38:82].std(axis=0).max() < 1e-3


def test_the_first_frame_is_the_networks_own():
    own = FlickeringNetwork()(texture(0))
    state = TemporalFilter()
    exposed = state.expose(texture(0) * lamp(), 1.7)
    assert exposed.gain == pytest.approx(1.7)
    np.testing.assert_array_equal(state.steady(exposed, own), own)


def test_albedo_follows_a_translating_texture_without_blur_or_lag():
    wide, count = texture(2, HEIGHT, WIDTH + 200), 40
    frames = [np.ascontiguousarray(wide[:, 3 * i : 3 * i + WIDTH]) for i in range(count)]
    steady, _ = run(frames, [lamp()] * count, FlickeringNetwork())
    alone = FlickeringNetwork(seed=7)(frames[-1])
    inner = np.s_[8:-8, 8:-60]  # pixels that came in from the right have a short history
    error = np.log(steady[-1] / frames[-1])[inner]
    assert np.abs(error).mean() < 0.5 * np.abs(np.log(alone / frames[-1]))[inner].mean()
    sharpness = [np.abs(cv2.Laplacian(np.log(x), cv2.CV_32F))[inner].mean() for x in (steady[-1], frames[-1])]
    assert sharpness[0] > 0.85 * sharpness[1]


@pytest.mark.parametrize("factor", [3.0, 0.35])
@pytest.mark.parametrize("tint", [(1, 1, 1), (1.25, 1.0, 0.7)])
def test_switched_light_is_in_the_shading_within_three_frames_and_not_in_the_albedo(factor, tint):
    albedo, change = texture(3), np.float32(factor) * np.array(tint, np.float32)
    shadings = [lamp()] * 20 + [lamp() * change] * 10
    steady, images = run([albedo] * 30, shadings, FlickeringNetwork(0.05), noise=0.01)
    shading = images / steady
    for frame in range(20, 23):
        response = np.log(shading[frame] / shading[19]) / np.log(change)
        level = float(np.log(shading[frame] / shading[19]).mean() / np.log(change).mean())
        assert level == pytest.approx(1, abs=0.1), (frame, response.mean())
    assert np.abs(np.log(steady[22] / steady[19])).mean() < 0.02


def test_a_network_that_takes_light_for_albedo_does_not_pull_the_steady_albedo_along():
    albedo = texture(4)

    def fooled(true: np.ndarray) -> np.ndarray:
        fooled.calls += 1
        return true * np.float32(1.0 if fooled.calls <= 20 else 1.4)

    fooled.calls = 0
    steady, _ = run([albedo] * 23, [lamp()] * 20 + [lamp(2.0)] * 3, fooled)
    assert np.log(steady[22] / steady[19]).mean() < 0.25 * np.log(1.4)


def test_a_moving_shadow_stays_out_of_the_albedo():
    albedo, shadings = texture(5), []
    for step in range(30):
        light = lamp().copy()
        light[:, max(0, 3 * step - 20) : max(0, 3 * step)] *= 0.5
        shadings.append(cv2.GaussianBlur(light, (0, 0), 1.5)[..., None])
    steady, _ = run([albedo] * 30, shadings, lambda true: true)
    assert np.abs(np.log(steady[10:] / albedo)).mean() < 0.01


def test_nothing_is_dragged_across_a_cut():
    first, second, network = texture(6), texture(7), FlickeringNetwork()
    state = TemporalFilter()
    run([first] * 12, [lamp()] * 12, network, state=state)
    own = network(second)
    exposed = state.expose(second * lamp(0.5), 2.0)
    assert exposed.cut and exposed.gain == pytest.approx(2.0)
    np.testing.assert_array_equal(state.steady(exposed, own), own)


def test_an_object_that_enters_brings_its_own_albedo_and_uncovers_what_is_behind_it():
    wall, thing, truth = texture(8), texture(9) * np.array([0.25, 0.3, 0.9], np.float32), []
    for step in range(24):
        frame = wall.copy()
        frame[30:70, 4 * step : 4 * step + 30] = thing[30:70, :30][:, : max(0, WIDTH - 4 * step)]
        truth.append(frame)
    steady, _ = run(truth, [lamp()] * 24, lambda true: true)
    error = np.abs(np.log(steady / np.stack(truth))).mean(axis=(1, 2, 3))
    assert error.max() < 0.03
    trail = np.s_[30:70, 4 * 23 - 12 : 4 * 23 - 1]
    assert np.abs(np.log(steady[-1][trail] / truth[-1][trail])).mean() < 0.1


@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_filter_that_begins_at_the_look_back_gives_the_same_bytes(monkeypatch, every):
    monkeypatch.setattr(filter, "BLOCK", 24)
    block, most = 24, 3 * 24 - 1 + GAIN_FRAMES - 1
    wide, count, frame = texture(10, HEIGHT, WIDTH + 5 * block), 4 * block + 6, 3 * block + 5
    frames = [wide[:, i : i + WIDTH] * lamp(1 + 0.3 * np.sin(i / 9)) for i in range(count)]
    albedos = [FlickeringNetwork(seed=i)(frames[i]) for i in range(count)]
    begin = TemporalFilter.resume_from(frame)
    assert begin > 0 and frame - begin <= most

    def outputs(first: int) -> dict[int, tuple[float, bytes, bytes]]:
        state, results = TemporalFilter(first, every), {}
        for number in range(first, count):
            exposed = state.expose(frames[number], 1 + 0.1 * np.cos(number))
            # The network's answer depends on the gain under which it sees the frame.
            own = albedos[number] * np.float32(0.5 * exposed.gain)
            steady = state.steady(exposed, own) if exposed.infer else state.carried(exposed)
            factors = state.settle(exposed, steady * np.float32(1 + 0.1 * np.sin(number)))
            results[number] = exposed.gain, steady.tobytes(), factors.tobytes()
        return results

    whole, resumed = outputs(0), outputs(begin)
    assert all(resumed[number] == whole[number] for number in range(frame, count))


@pytest.mark.parametrize("frame", [0, BLOCK, 2 * BLOCK - 1, 2 * BLOCK, 5 * BLOCK + 7])
def test_a_filter_begins_a_block_before_the_older_of_the_two_memories_that_a_frame_has(frame):
    memory = max(0, frame // BLOCK - 2) * BLOCK
    begin = TemporalFilter.resume_from(frame)
    assert begin == max(0, memory - GAIN_FRAMES + 1) and frame - begin <= LOOK_BACK


def test_a_light_switch_and_a_pan_are_no_cuts_but_another_scene_and_black_are():
    wide = texture(11, HEIGHT, WIDTH + 40)
    frame = wide[:, :WIDTH] * lamp()
    thumbnail = Thumbnail.of(frame)
    assert not is_cut(thumbnail, Thumbnail.of(frame * 1.02))
    assert not is_cut(thumbnail, Thumbnail.of(frame * 3 * np.linspace(0.5, 1.5, WIDTH, dtype=np.float32)[None, :, None]))
    assert not is_cut(thumbnail, Thumbnail.of(wide[:, 8 : 8 + WIDTH] * lamp()))
    assert is_cut(thumbnail, Thumbnail.of(texture(12) * lamp()))
    black = Thumbnail.of(np.zeros_like(frame))
    assert is_cut(thumbnail, black) and is_cut(black, thumbnail) and not is_cut(black, black)
    assert is_cut(thumbnail, Thumbnail.of(wide[:, :100] * 1.0))


def test_flow_finds_a_translation_whatever_the_light_and_knows_what_was_hidden():
    wide = texture(13, HEIGHT, WIDTH + 20)
    before, now = wide[:, 5 : 5 + WIDTH], wide[:, :WIDTH] * np.float32(0.6)
    motion = FlowEstimator()(np.ascontiguousarray(before), np.ascontiguousarray(now))
    inner = motion.backward[10:-10, 15:-15]
    assert np.abs(np.median(inner, axis=(0, 1)) - [-5, 0]).max() < 0.3
    assert motion.visible[10:-10, 15:-15].mean() > 0.95
    assert not motion.visible[:, :4].any()
    there, back = np.full((8, 9, 2), 2.0, np.float32), np.full((8, 9, 2), -2.0, np.float32)
    assert consistent(there, back)[:6, :7].all() and not consistent(there, there).any()


def test_warping_looks_up_where_the_flow_points():
    ramp = np.mgrid[:6, :7][1].astype(np.float32)
    flow = np.zeros((6, 7, 2), np.float32)
    flow[..., 0] = 1.5
    np.testing.assert_allclose(warp(ramp, flow)[:, :5], ramp[:, :5] + 1.5, atol=1e-3)


def test_other_light_is_the_same_surface_and_another_texture_is_not():
    surface = texture(14)
    estimate = FlowEstimator()

    def same(now: np.ndarray) -> float:
        return float(match(surface, now, estimate(surface, now)).same[8:-8, 8:-8].mean())

    assert same(surface) == 1
    assert same(surface * 2) > 0.95
    assert same(surface * np.linspace(0.5, 1.4, WIDTH, dtype=np.float32)[None, :, None]) > 0.9
    assert same(texture(15)) < 0.2
    assert same(np.full_like(surface, 0.02)) < 0.1


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (33, 17)])
def test_frames_of_any_size_pass(size):
    rng = np.random.default_rng(0)
    state = TemporalFilter()
    for _ in range(3):
        frame = rng.random((*size, 3), np.float32)
        exposed = state.expose(frame, 1.0)
        assert np.isfinite(exposed.gain)
        assert np.isfinite(state.steady(exposed, frame)).all()


def test_a_stream_without_filtering_decomposes_each_frame_as_if_it_were_alone(tiny_bundle, scene):
    frames = [scene, scene * 1.3, np.roll(scene, 5, axis=1)]
    with Decomposer.load(tiny_bundle) as model:
        for frame, result in zip(frames, model.stream(frames, temporal=False)):
            np.testing.assert_array_equal(result.albedo, model.decompose(frame).albedo)


def test_a_filtered_stream_keeps_the_product(tiny_bundle, scene):
    frames = [np.roll(scene, 2 * step, axis=1) * (1 + 0.1 * step) for step in range(5)]
    with Decomposer.load(tiny_bundle) as model:
        for frame, result in zip(frames, model.stream(frames)):
            np.testing.assert_allclose(result.albedo * result.shading, frame, rtol=1e-5)


def test_an_image_size_that_changes_begins_a_shot(tiny_bundle, scene):
    with Decomposer.load(tiny_bundle) as model:
        results = list(model.stream([scene, scene[:80]]))
        np.testing.assert_array_equal(results[1].albedo, model.decompose(scene[:80]).albedo)


def test_an_even_noisy_wall_is_the_same_wall_and_a_shadow_that_passes_over_it_is_light():
    rng = np.random.default_rng(0)
    estimate = FlowEstimator()

    def wall(light: float, strength: float) -> np.ndarray:
        """Grain as codecs leave it, which flow cannot follow."""
        grain = rng.normal(1, strength, (24, 32, 3)).astype(np.float32)
        return 0.5 * np.float32(light) * cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)

    for light, strength in ((1, 0.02), (0.85, 0.005)):
        before, now = wall(1, strength), wall(light, strength)
        assert match(before, now, estimate(before, now)).same.mean() > 0.95


@pytest.mark.parametrize("every", [4, 6])
def test_between_the_networks_frames_the_albedo_moves_with_its_surface(every):
    wide = texture(5, width=WIDTH + 40)
    state, light, asked = TemporalFilter(every=every), lamp(), 0
    for shift in range(12):
        albedo = np.ascontiguousarray(wide[:, 2 * shift : 2 * shift + WIDTH])
        exposed = state.expose(albedo * light, 1.0)
        asked += exposed.infer
        found = state.steady(exposed, albedo) if exposed.infer else state.carried(exposed)
        assert exposed.infer or shift % (every // 2)
    error = np.abs(np.log(found / albedo))[8:-8, 8:-12]
    assert asked == 12 // (every // 2) and np.mean(error) < 0.03


def test_the_network_is_asked_at_once_where_another_scene_appears():
    state = TemporalFilter(every=96)
    for number, albedo in enumerate([texture(1), texture(1), texture(2), texture(2)]):
        exposed = state.expose(albedo * lamp(), 1.0)
        assert exposed.infer == (number in (0, 2))
        found = state.steady(exposed, albedo) if exposed.infer else state.carried(exposed)
        np.testing.assert_allclose(found, albedo, rtol=1e-3)


def test_the_network_is_asked_at_once_where_all_light_changes():
    state = TemporalFilter(every=96)
    for number in range(6):
        exposed = state.expose(texture(1) * lamp(1.0 if number < 3 else 1.5), 1.0)
        assert exposed.infer == (number in (0, 3))
        state.steady(exposed, texture(1)) if exposed.infer else state.carried(exposed)


def test_what_lies_in_the_dark_once_a_light_is_off_keeps_its_albedo():
    # On the left only a lamp shines that goes off; a network sees black there and says so.
    albedo, before, after = texture(2), lamp(), lamp(0.7)
    after[:, : WIDTH // 6] *= np.float32(0.02)
    state, found = TemporalFilter(), []
    for light in [before] * 14 + [after] * 3:
        exposed = state.expose(albedo * light, 1.0)
        found.append(state.steady(exposed, np.where(light < 0.1, np.float32(0.05), albedo)))
    assert np.abs(np.log(found[-1] / albedo))[:, : WIDTH // 6 - 6].mean() < 1  # 2.1 where the network is believed


def test_in_a_light_that_flickers_from_the_first_frame_on_the_albedo_becomes_the_mean_over_the_lights_by_their_squares():
    # The network's error goes with the light, and is largest in the first frame.
    albedo, levels = texture(6), [1.0 if number % 2 else 1.3 for number in range(24)]
    state = TemporalFilter()
    for level in levels:
        exposed = state.expose(albedo * lamp(level), 1.0)
        found = state.steady(exposed, albedo * np.float32(level))
    mean = np.average(np.log(levels), weights=np.square(levels))
    assert np.log(found / albedo).mean() == pytest.approx(mean, abs=0.01)


def test_the_network_is_asked_of_a_frame_in_more_light_than_it_saw_and_not_again_in_the_same():
    state, levels = TemporalFilter(every=8), [1.0, 1.0, 1.13, 1.0, 1.13, 1.27]
    asked = [state.expose(texture(6) * lamp(level), 1.0).infer for level in levels]
    assert asked == [True, False, True, False, False, True]


def test_a_thing_that_creeps_by_a_third_of_a_pixel_a_frame_takes_its_albedo_along():
    wall, thing, side, frames = np.float32([0.6, 0.7, 0.7]), np.float32([0.25, 0.15, 0.12]), 30, 24
    large = np.tile(wall, (HEIGHT * 3, WIDTH * 3, 1)) * (1 + 0.1 * (texture(7, HEIGHT * 3, WIDTH * 3, colors=False) - 0.45))
    state = TemporalFilter()
    for number in range(frames):
        scene = large.astype(np.float32)
        left = 150 + number
        scene[90 : 90 + 3 * side, left : left + 3 * side] = thing
        albedo = cv2.resize(scene, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        exposed = state.expose(albedo * lamp(), 1.0)
        found = state.steady(exposed, albedo)
    behind = np.abs(np.log(found / albedo))[32:58, 48:58]
    assert behind.mean() < 0.2, "the thing's dark albedo is left behind on the wall"
