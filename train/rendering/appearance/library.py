"""One place to draw appearance from: textures, reliefs, skies and models, procedural or from an assets folder.

What a draw returns depends on the library's seed, the generator's state and the assets folder, never on what was
drawn before: a scene's seed reproduces it in any process and in any order. Procedural content is made from its own
seed, (library seed, kind, role, number), at first use, and kept, so that a process that makes many scenes pays once.

    library = Library.load(Path("assets"))          # or Library.load(None): procedural only
    texture = library.texture(rng, "wood")
    relief = library.relief(rng, "wood", texture)   # lies on the texture's uv: relief_tile = tile
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from intrinsic_flow.train.rendering.appearance import relief, sky, textures
from intrinsic_flow.train.rendering.appearance.assets import Assets, Model
from intrinsic_flow.train.rendering.appearance.patterns import lettering
from intrinsic_flow.train.rendering.scene import Environment, Relief, Texture

EnvironmentKind = Literal["outdoor", "indoor", "any"]

ROLES = textures.ROLES

# How many procedural textures, reliefs, skies and window views a library holds of each role or kind.
TEXTURES_PER_ROLE = 96
RELIEFS_PER_ROLE = 32
SKIES_PER_KIND = 48
WINDOW_VIEWS = 48

# Share of draws that come from the assets where they have the role. Photographs beat our generators most where the
# material is irregular; the generators win where a pattern is drawn once and seen at full resolution.
DEFAULT_ASSET_SHARE = 0.5
# Share of pictures and labels that are the assets' prints; the others are drawn, in the assets' fonts.
PRINTED = {"picture": 0.75, "label": 0.35, "cover": 0.3, "book": 0.15}
ASSET_SHARE = {
    "ground": 0.8,
    "road": 0.7,
    "floor": 0.65,
    "wood": 0.65,
    "fabric": 0.6,
    "facade": 0.65,
    "stone": 0.7,
    "ceramic": 0.15,
}

# Bytes of procedural content that are kept; what was used longest ago goes first, and is made again when asked for.
CACHE_BYTES = 400 << 20


class Library:
    """Appearance for scenes. Build it with `load`."""

    def __init__(self, assets: Assets | None, seed: int) -> None:
        self._assets = assets
        self._seed = seed
        self._cache = _Cache(CACHE_BYTES)

    @classmethod
    def load(cls, assets: Path | None, seed: int = 0) -> Library:
        """assets: a folder as `appearance.assets` reads it; None: everything is procedural.

        InputError: there is no such folder. MissingExtraError: its models need DracoPy, which is not installed.
        """
        return cls(None if assets is None else Assets.open(assets), seed)

    def texture(self, rng: np.random.Generator, role: str) -> Texture:
        """An albedo texture for one of ROLES. Those of textures.DRAWN_ONCE are drawn once over uv (0, 0)..(1, 1),
        with their top at v = 1; the others repeat.
        """
        share = ASSET_SHARE.get(role, DEFAULT_ASSET_SHARE)
        if self._assets is not None and self._assets.has_textures(role) and rng.random() < share:
            found = self._assets.texture(rng, role)
            if found is not None:
                return found
        if self._assets is not None and self._assets.has_prints() and rng.random() < PRINTED.get(role, 0.0):
            found = self._assets.print(rng)
            if found is not None:
                return found
        fonts = () if self._assets is None else self._assets.fonts

        def draw(own: np.random.Generator) -> Texture:
            with lettering.fonts(fonts):
                return textures.draw(own, role)

        return self._made(rng, "texture", role, TEXTURES_PER_ROLE, draw)

    def relief(self, rng: np.random.Generator, role: str, texture: Texture | None = None) -> Relief:
        """A relief for one of ROLES. With a texture it lies on the texture's uv (use relief_tile = tile): mostly the
        texture's own joints and grain, else one that suits the role. Without, any that suits the role.
        """
        if texture is not None and rng.random() < relief.OWN_SHARE.get(role, relief.DEFAULT_OWN_SHARE):
            return relief.of_texture(rng, texture)
        return self._made(rng, "relief", role, RELIEFS_PER_ROLE, lambda own: relief.draw(own, role))

    def environment(self, rng: np.random.Generator, kind: EnvironmentKind) -> Environment:
        """An environment map of robust mean luminance 1 (see sky.normalise), rotated at random about z. Real maps may
        hold a sun; procedural ones hold at most its glow, so that a scene's own `Sun` can stand in it.
        """
        if kind == "any":
            kind = "outdoor" if rng.random() < 0.6 else "indoor"
        rotation = float(rng.uniform(0, 360))
        if self._assets is not None and self._assets.has_environments(kind) and rng.random() < 0.65:
            found = self._assets.environment(rng, kind)
        else:
            found = self._made(rng, "sky", kind, SKIES_PER_KIND, lambda own: sky.draw(own, kind))
        return Environment(found.radiance, rotation, found.name)

    def window_view(self, rng: np.random.Generator) -> np.ndarray:
        """What stands behind a window: (H, W, 3) float32 radiance with mean 1, row 0 at the top, the sun clamped."""
        if self._assets is not None and self._assets.has_environments("outdoor") and rng.random() < 0.5:
            return sky.window_crop(rng, self._assets.environment(rng, "outdoor").radiance)
        return self._made(rng, "window", "", WINDOW_VIEWS, sky.window_view)

    def model(self, rng: np.random.Generator) -> Model | None:
        """A small object of the assets (largest extent 1, standing on z = 0, centred in xy); None: there is none."""
        return None if self._assets is None else self._assets.model(rng)

    def print(self, rng: np.random.Generator, name: str = "") -> Texture:
        """A picture of the assets' prints, whose file name matches `name` (art, photo, print), to be shown whole in the
        proportions of its pixels; else a drawn one.
        """
        found = None if self._assets is None else self._assets.print(rng, name)
        return found if found is not None else self.texture(rng, "picture")

    def real_model(self, rng: np.random.Generator, *folders: str, name: str = "") -> Model | None:
        """A model in metres of the assets' people/, foliage/ or of these folders of objects/; name: a regular expression
        that its file matches. None: there is none.
        """
        return None if self._assets is None else self._assets.real(rng, *folders, name=name)

    def _made(
        self, rng: np.random.Generator, kind: str, role: str, count: int, make: Callable[[np.random.Generator], Any]
    ) -> Any:
        """Member number rng.integers(count) of a pool, made from its own seed."""
        index = int(rng.integers(count))
        key = (kind, role, index)
        found = self._cache.get(key)
        if found is None:
            own = np.random.default_rng([self._seed, zlib.crc32(f"{kind}/{role}".encode()), index])
            found = make(own)
            self._cache.put(key, found)
        return found


class _Cache:
    """Least recently used first out, bounded by the bytes of the arrays held."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held = 0
        self._items: OrderedDict[tuple, Any] = OrderedDict()

    def get(self, key: tuple) -> Any | None:
        found = self._items.get(key)
        if found is not None:
            self._items.move_to_end(key)
        return found

    def put(self, key: tuple, value: Any) -> None:
        self._items[key] = value
        self._held += _bytes(value)
        while self._held > self._capacity and len(self._items) > 1:
            self._held -= _bytes(self._items.popitem(last=False)[1])


def _bytes(value: Any) -> int:
    """Bytes of a value's arrays: the value is an array or a dataclass of arrays."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    return sum(array.nbytes for array in vars(value).values() if isinstance(array, np.ndarray))
