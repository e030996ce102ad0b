"""Colour arithmetic against published values and its own inverses."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from intrinsic_flow.errors import InputError, MissingExtraError
from intrinsic_flow.media.color import (
    PRIMARIES,
    REC709_CHROMATICITIES,
    TRANSFER_DECODERS,
    YUV_WEIGHTS,
    bt709_to_linear,
    hlg_to_linear,
    is_identity,
    linear_to_bt709,
    linear_to_srgb,
    luminance,
    pq_to_linear,
    rgb_to_xyz_matrix,
    srgb_to_linear,
    to_rec709_matrix,
    yuv_to_rgb_matrix,
)


def test_srgb_decoding_gives_the_standards_values() -> None:
    codes = np.array([0, 1, 10, 11, 128, 255], np.float32) / 255
    expected = [0.0, 0.000303527, 0.003035270, 0.003346536, 0.215860500, 1.0]
    assert srgb_to_linear(codes) == pytest.approx(expected, rel=1e-5)


def test_srgb_survives_the_round_trip_for_every_16_bit_code() -> None:
    codes = np.arange(65536) / np.float32(65535)
    assert np.array_equal(np.rint(linear_to_srgb(srgb_to_linear(codes)) * 65535), np.arange(65536))


def test_srgb_neither_clips_nor_breaks_outside_the_unit_range() -> None:
    values = np.array([-0.5, -0.01, 1.5, 20.0], np.float32)
    assert linear_to_srgb(srgb_to_linear(values)) == pytest.approx(values, rel=1e-5)


def test_transfer_functions_return_float32_for_integer_and_double_input() -> None:
    for decode in (srgb_to_linear, linear_to_srgb, bt709_to_linear, linear_to_bt709, *TRANSFER_DECODERS.values()):
        assert decode(np.array([0.0, 0.5, 1.0])).dtype == np.float32
        assert decode(np.array([0, 1])).dtype == np.float32


def test_bt709_survives_the_round_trip_and_is_continuous_at_the_join() -> None:
    codes = np.arange(1024) / 1023
    assert linear_to_bt709(bt709_to_linear(codes)) == pytest.approx(codes, abs=1e-6)
    below, above = linear_to_bt709(np.array([0.0180539, 0.0180541]))
    assert above - below == pytest.approx(0.0, abs=2e-6)


def test_every_transfer_function_grows_from_black() -> None:
    for name, decode in TRANSFER_DECODERS.items():
        light = decode(np.linspace(0, 1, 257))
        assert (np.diff(light) >= 0).all(), name
        assert 0 <= light[0] <= 0.011, name


def test_pq_and_hlg_put_diffuse_white_at_one() -> None:
    assert pq_to_linear(np.array([0.5806888])) == pytest.approx([1.0], rel=1e-4)
    assert pq_to_linear(np.array([1.0])) == pytest.approx([10000 / 203], rel=1e-5)
    assert hlg_to_linear(np.array([0.75])) == pytest.approx([1.0], rel=1e-6)


def test_luminance_weighs_green_most_and_white_as_one() -> None:
    assert luminance(np.eye(3)) == pytest.approx([0.2126, 0.7152, 0.0722])
    assert luminance(np.ones((2, 5, 3))).shape == (2, 5)


def test_rec709_to_xyz_is_the_published_matrix() -> None:
    expected = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    assert rgb_to_xyz_matrix(REC709_CHROMATICITIES) == pytest.approx(np.array(expected), abs=1e-4)


def test_bt2020_to_rec709_is_the_published_matrix() -> None:
    # ITU-R BT.2087-0, annex 2.
    expected = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    assert to_rec709_matrix(PRIMARIES["bt2020"]) == pytest.approx(np.array(expected), abs=2e-4)


def test_white_stays_white_between_any_two_sets_of_primaries() -> None:
    for name, chromaticities in PRIMARIES.items():
        assert to_rec709_matrix(chromaticities) @ np.ones(3) == pytest.approx(np.ones(3), abs=1e-9), name
    aces = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
    assert to_rec709_matrix(aces) @ np.ones(3) == pytest.approx(np.ones(3), abs=1e-9)


def test_rec709_needs_no_conversion_and_others_do() -> None:
    assert is_identity(to_rec709_matrix(REC709_CHROMATICITIES))
    assert not is_identity(to_rec709_matrix(PRIMARIES["smpte432"]))


def test_chromaticities_without_a_triangle_are_refused() -> None:
    with pytest.raises(ValueError, match="triangle"):
        to_rec709_matrix((0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3127, 0.329))


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("name", sorted(YUV_WEIGHTS))
def test_yuv_matrices_map_black_white_and_the_primaries(name: str, bits: int) -> None:
    unit = 2 ** (bits - 8)
    kr, kb = YUV_WEIGHTS[name]
    matrix, offset = yuv_to_rgb_matrix((kr, kb), limited=True, bits=bits)
    assert matrix @ np.array([16, 128, 128]) * unit + offset == pytest.approx(np.zeros(3), abs=1e-12)
    assert matrix @ np.array([235, 128, 128]) * unit + offset == pytest.approx(np.ones(3), abs=1e-12)
    red = np.array([16 + 219 * kr, 128 - 112 * kr / (1 - kb), 240]) * unit
    assert matrix @ red + offset == pytest.approx([1, 0, 0], abs=1e-12)
    matrix, offset = yuv_to_rgb_matrix((kr, kb), limited=False, bits=bits)
    assert matrix @ np.array([2**bits - 1, 128 * unit, 128 * unit]) + offset == pytest.approx(np.ones(3), abs=1e-12)


def test_errors_are_one_line_and_survive_a_process_pool() -> None:
    error = InputError("a\nb.png", "two\nlines", "one\tline")
    assert str(error) == "a b.png: found two lines, expected one line"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.path, copy.found) == (str(error), error.path, error.found)
    missing = pickle.loads(pickle.dumps(MissingExtraError("onnxruntime", "cpu")))
    assert 'pip install "intrinsic-flow[cpu]"' in str(missing)
    assert isinstance(missing, ImportError)
