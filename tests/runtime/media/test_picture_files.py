"""Every picture that people have: files of all formats and kinds are read as what they hold, and decomposed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from intrinsic_flow.decompose import main
from intrinsic_flow.media.formats import IMAGE_SUFFIXES, image_kind
from intrinsic_flow.media.images import read_image

_SPEC = importlib.util.spec_from_file_location("picture_files", Path(__file__).with_name("picture_files.py"))
made = sys.modules.setdefault("picture_files", importlib.util.module_from_spec(_SPEC))
_SPEC.loader.exec_module(made)
FILES = made.picture_files()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for file in FILES:
        file.write(folder / file.name)
    return folder


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_picture_is_read_as_the_light_that_it_holds(folder: Path, file) -> None:
    image = read_image(folder / file.name)
    assert image.pixels.shape == file.light.shape and image.pixels.dtype == np.float32
    assert np.abs(image.pixels - file.light).max() <= file.tolerance
    if file.alpha is None:
        assert image.alpha is None
    else:
        assert np.abs(image.alpha - file.alpha).max() < 2e-3
    notes = [note for note in image.notes if "alpha kept apart" not in note]
    assert any(file.note in note for note in notes) if file.note else notes == []


def test_a_folder_of_them_is_decomposed_and_the_product_is_the_picture(
    folder: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    options = ["--format", "npy", "--bundle", str(tiny_bundle), "--backend", "cpu", "--quiet"]
    assert main([str(folder), "-o", str(tmp_path), *options]) == 0
    assert len(FILES) >= 100 and len({file.name for file in FILES}) == len(FILES)
    albedos = sorted(tmp_path.rglob("*_albedo.npy"))
    assert len(albedos) == len(FILES)
    for file in FILES:
        stem = Path(file.name).stem
        name = stem if sum(Path(other.name).stem == stem for other in FILES) == 1 else file.name.replace(".", "_")
        albedo, shading = (np.load(tmp_path / f"{name}_{layer}.npy") for layer in ("albedo", "shading"))
        error = np.abs((albedo * shading)[..., :3] - file.light).max()
        assert error <= file.tolerance + 1e-5 * np.abs(file.light).max(), file.name


def test_the_files_are_of_all_formats_that_can_be_made_here(folder: Path) -> None:
    kinds = {image_kind((folder / file.name).read_bytes()[:64]) or "targa" for file in FILES}  # a DNG begins as a TIFF
    assert kinds == {
        "png", "jpeg", "bmp", "webp", "tiff", "hdr", "exr", "npy", "gif", "jpeg2000", "jpegxl", "pnm", "targa", "sgi",
        "dpx", "ico", "avif", "heif", "psd", "cineon",
    }  # fmt: skip
    assert len({Path(file.name).suffix for file in FILES} & IMAGE_SUFFIXES) >= 25
