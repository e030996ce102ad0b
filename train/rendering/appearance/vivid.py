"""Stronger colours and finer detail: photographed worlds have more of both than what material libraries hold (median
saturation .56 and .37), whose pictures were evened out, reduced and compressed.

Colour: the log of each channel's ratio to the luminance is multiplied, so that no channel reaches zero and grey stays
grey. Detail: so is what the log luminance has beyond its surroundings, up to the contrast of a drawn edge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from intrinsic_flow.train.rendering.scene import Material, Texture

#: What keeps its colours: bodies come in those that people have.
AS_IT_IS = frozenset({"skin", "hair", "eye"})
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
# Linear albedo below which a channel's ratio says nothing in 8 bits, and the most that a channel becomes.
_DARKEST, _BRIGHTEST = 0.004, 0.9
# Square-root codes of textures -> linear.
_LINEAR = (np.arange(256, dtype=np.float32) / 255) ** 2
# Texels around one whose mean is its surroundings (standard deviation), and the log contrast of what is no grain but drawn.
_SURROUNDINGS, _EDGE = 3.0, 0.5


def vivid_color(albedo: np.ndarray, strength: float) -> np.ndarray:
    """(..., 3) float32 linear Rec.709 of the same luminance, but for channels above 0.9 (or their own value). What is
    colourful already gets little more: no paint is purer than the purest.
    """
    albedo = np.asarray(albedo, np.float32)
    known = np.maximum(albedo, _DARKEST)
    red, green, blue = known[..., 0], known[..., 1], known[..., 2]
    gray = np.maximum(albedo @ _LUMINANCE, _DARKEST)
    saturation = 1 - np.minimum(np.minimum(red, green), blue) / np.maximum(np.maximum(red, green), blue)
    power = (strength - 1) * (1 - saturation**2)
    # OpenCV's logarithm and exponential are several times as fast as numpy's power.
    stronger = known * _exp(_log(known / gray[..., None]) * power[..., None])
    # The power brightens a strong colour: its luminance is put back.
    stronger *= (gray / np.maximum(stronger @ _LUMINANCE, _DARKEST))[..., None]
    return np.minimum(stronger, np.maximum(albedo, _BRIGHTEST))


def _log(values: np.ndarray) -> np.ndarray:
    return cv2.log(np.ascontiguousarray(values).reshape(-1, 1)).reshape(values.shape)


def _exp(values: np.ndarray) -> np.ndarray:
    return cv2.exp(np.ascontiguousarray(values).reshape(-1, 1)).reshape(values.shape)


def detailed(albedo: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, 3) float32 linear with `factor` times its fine contrast; steps beyond _EDGE stay as high as they are."""
    log_gray = _log(np.maximum(albedo @ _LUMINANCE, _DARKEST))
    fine = log_gray - cv2.GaussianBlur(log_gray, (0, 0), _SURROUNDINGS, borderType=cv2.BORDER_REFLECT_101)
    added = np.float32(factor - 1) * fine * np.maximum(1 - np.abs(fine) / _EDGE, 0)
    return np.minimum(albedo * _exp(added)[..., None], np.maximum(albedo, _BRIGHTEST))


def vivid(materials: Sequence[Material], strength: float, detail: float = 1.0) -> list[Material]:
    """The materials with colours and textures stronger by `strength` and with `detail` times the fine contrast (1: as
    they are), in their order.
    """
    textures: dict[int, Texture] = {}

    def textured(texture: Texture | None) -> Texture | None:
        if texture is None:
            return None
        if id(texture) not in textures:
            linear = _LINEAR[texture.pixels]
            codes = cv2.sqrt(detailed(vivid_color(linear, strength), detail)) * 255
            textures[id(texture)] = dataclasses.replace(texture, pixels=np.rint(codes).astype(np.uint8))
        return textures[id(texture)]

    made = []
    for material in materials:
        if material.kind not in AS_IT_IS:
            red, green, blue = vivid_color(np.array(material.color), strength).tolist()
            material = dataclasses.replace(material, color=(red, green, blue), texture=textured(material.texture))
        made.append(material)
    return made
