"""How surfaces reflect: a Lambertian base under a GGX coat, for all materials of a scene at once.

The materials of a scene lie in one table of numbers and one buffer of texels, looked up by face. Nothing in the traced
code depends on how many there are or how large they are, so that one compiled kernel renders every scene.

The base is not darkened by the coat: diffuse light is exactly albedo x irradiance / pi, and everything else of a
reflection is the coat's, never negative. (An energy-conserving coat would make the shading depend on the coat, and with
it what a photograph's shading means.) A thin sheet's base also scatters light through, Lambertian on the other side. The
coat is Walter et al. 2007, "Microfacet Models for Refraction through Rough Surfaces", with Schlick's Fresnel term and
visible normals sampled (Heitz 2018).

Import after `llvm.start_backend`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import drjit as dr
import mitsuba as mi
import numpy as np

from intrinsic_flow.train.rendering.scene import Material, Relief, Texture

T = TypeVar("T")

# Slopes are stored in 16 bits, this is their range.
MAX_SLOPE = 8.0
# Smoother coats would be mirrors, whose reflections are neither albedo nor shading.
MIN_ALPHA = 0.01
# Bounds of albedo: a black surface has no shading, and light in a white one never ends.
MIN_ALBEDO, MAX_ALBEDO = 0.01, 0.9
# What a sheet sends back and through in sum stays below this.
_MOST_SCATTERED = 0.95

_COLOR, _TILING, _COAT, _TEXELS, _SLOPES = 0, 4, 8, 0, 4


def _pack_texture(texture: Texture | None) -> np.ndarray:
    """(H * W,) uint32: three 8-bit square-root codes a texel and alpha; white for None."""
    if texture is None:
        return np.array([0xFFFFFFFF], np.uint32)
    codes = texture.pixels.astype(np.uint32)
    alpha = np.uint32(255) if texture.alpha is None else texture.alpha.astype(np.uint32)
    return (codes[..., 0] | codes[..., 1] << 8 | codes[..., 2] << 16 | alpha << 24).ravel()


def _pack_relief(relief: Relief | None) -> np.ndarray:
    """(H * W,) uint32: two 16-bit slopes in [-MAX_SLOPE, MAX_SLOPE]; level for None."""
    if relief is None:
        return np.array([0x80008000], np.uint32)
    codes = np.round((relief.slopes.astype(np.float32) / MAX_SLOPE).clip(-1, 1) * 32767 + 32768).astype(np.uint32)
    return (codes[..., 0] | codes[..., 1] << 16).ravel()


@dataclass(frozen=True)
class Hit:
    """Surface properties where rays hit, arrays of one width. frame: shading frame, z on the side of the ray.
    base: (3) diffuse albedo (0 for metals). specular: (3) the coat's reflectance at normal incidence. alpha: GGX.
    through: as `Material.transmission`.
    """

    frame: mi.Frame3f
    base: mi.Color3f
    specular: mi.Color3f
    alpha: mi.Float
    through: mi.Float


class MaterialTable:
    """The materials of a scene and which face has which, on the device."""

    def __init__(self, materials: Sequence[Material], face_materials: np.ndarray, face_surfaces: np.ndarray | None = None):
        """face_materials: (F,) int, index of the material of each face; face_surfaces: (F,) int, what `surface` tells."""
        floats = np.zeros((len(materials), 12), np.float32)
        integers = np.zeros((len(materials), 8), np.uint32)
        buffers: list[np.ndarray] = []
        places: dict[int, int] = {}
        end = 0

        def place(item: Texture | Relief | None, packed: np.ndarray) -> int:
            nonlocal end
            key = id(item) if item is not None else -int(packed[0]) - 1
            if key not in places:
                places[key] = end
                buffers.append(packed)
                end += len(packed)
            return places[key]

        for row, material in enumerate(materials):
            texture, relief = material.texture, material.relief
            floats[row, :3] = material.color
            floats[row, 3] = material.relief_strength if relief is not None else 0.0
            floats[row, 4] = 1.0 / material.tile if material.tile else 1.0
            tile = material.relief_tile or material.tile
            floats[row, 5] = 1.0 / tile if tile else 1.0
            floats[row, 6:8] = material.cutoff, material.clear
            coat = max(material.roughness**2, MIN_ALPHA), material.specular
            floats[row, 8:12] = *coat, material.metallic, material.transmission
            height, width = texture.pixels.shape[:2] if texture is not None else (1, 1)
            integers[row, :4] = place(texture, _pack_texture(texture)), width, height, texture is None or texture.tileable
            height, width = relief.slopes.shape[:2] if relief is not None else (1, 1)
            integers[row, 4:8] = place(relief, _pack_relief(relief)), width, height, relief is None or relief.tileable
        # Whether any light goes through: such scenes have a kernel of their own.
        self.see_through = any(material.cutoff > 0 or material.clear for material in materials)
        self._floats = mi.Float(floats.ravel())
        self._integers = mi.UInt32(integers.ravel())
        self._texels = mi.UInt32(np.concatenate(buffers))
        self._face_materials = mi.UInt32(np.ascontiguousarray(face_materials, np.uint32))
        told = face_materials if face_surfaces is None else face_surfaces
        self._face_surfaces = mi.UInt32(np.ascontiguousarray(told, np.uint32))

    def _row(self, kind: type[T], table: T, width: int, material: mi.UInt32, column: int, active: mi.Bool) -> list[T]:
        return [dr.gather(kind, table, material * width + (column + i), active) for i in range(4)]

    def _corners(self, uv: mi.Point2f, place: list[mi.UInt32], active: mi.Bool) -> Iterator[tuple[mi.UInt32, mi.Float]]:
        """Texel codes (uint32) at the four corners around uv (in repeats), with their bilinear weights."""
        offset, width, height, tileable = place

        def axis(coordinate: mi.Float, size: mi.UInt32) -> tuple[mi.Int32, mi.Float]:
            position = coordinate * mi.Float(size) - 0.5
            low = dr.floor(position)
            index = mi.Int32(low)
            return index, position - low

        def wrapped(index: mi.Int32, size: mi.UInt32) -> mi.UInt32:
            size = mi.Int32(size)
            period = dr.select(tileable == 1, size, 2 * size)
            rest = index - period * mi.Int32(dr.floor(mi.Float(index) / mi.Float(period)))
            rest = dr.clip(rest, 0, period - 1)
            return mi.UInt32(dr.select(rest < size, rest, 2 * size - 1 - rest))

        (x, fx), (y, fy) = axis(uv.x, width), axis(uv.y, height)
        columns, rows = (wrapped(x, width), wrapped(x + 1, width)), (wrapped(y, height), wrapped(y + 1, height))
        for row, wy in zip(rows, (1 - fy, fy)):
            for column, wx in zip(columns, (1 - fx, fx)):
                yield dr.gather(mi.UInt32, self._texels, offset + row * width + column, active), wx * wy

    def surface(self, si: mi.SurfaceInteraction3f, active: mi.Bool) -> mi.UInt32:
        """The surface that a face of the world's mesh belongs to."""
        return dr.gather(mi.UInt32, self._face_surfaces, si.prim_index, active)

    def passes(self, si: mi.SurfaceInteraction3f, active: mi.Bool) -> tuple[mi.Bool, mi.Bool, mi.Color3f]:
        """Whether rays go through at interactions with the world's mesh: where a texture is cut out, and where it is glass;
        and the share of light (3) that goes through.
        """
        material = dr.gather(mi.UInt32, self._face_materials, si.prim_index, active)
        scale, _, cutoff, clear = self._row(mi.Float, self._floats, 12, material, _TILING, active)
        red, green, blue, _ = self._row(mi.Float, self._floats, 12, material, _COLOR, active)
        texels = self._row(mi.UInt32, self._integers, 8, material, _TEXELS, active)
        there = mi.Float(0.0)
        for code, weight in self._corners(si.uv * scale, texels, active & (cutoff > 0)):
            there += weight * mi.Float(code >> 24)
        hole = active & (cutoff > 0) & (there < 255 * cutoff)
        glass = active & (clear > 0)
        return hole, glass, dr.select(glass, mi.Color3f(red, green, blue), 1.0)

    def lookup(self, si: mi.SurfaceInteraction3f, active: mi.Bool) -> Hit:
        """Properties at surface interactions with the world's mesh; masked lanes are harmless and meaningless."""
        material = dr.gather(mi.UInt32, self._face_materials, si.prim_index, active)
        red, green, blue, strength = self._row(mi.Float, self._floats, 12, material, _COLOR, active)
        scale, relief_scale, _, _ = self._row(mi.Float, self._floats, 12, material, _TILING, active)
        alpha, specular, metallic, through = self._row(mi.Float, self._floats, 12, material, _COAT, active)
        texels = self._row(mi.UInt32, self._integers, 8, material, _TEXELS, active)
        slopes = self._row(mi.UInt32, self._integers, 8, material, _SLOPES, active)

        color = mi.Color3f(0.0)
        for code, weight in self._corners(si.uv * scale, texels, active):
            value = mi.Color3f(mi.Float(code & 255), mi.Float((code >> 8) & 255), mi.Float((code >> 16) & 255)) / 255
            color += weight * value * value
        color *= mi.Color3f(red, green, blue)
        # Not dr.clip: its maximum trips an instruction-selection bug of LLVM 19.
        color = dr.select(color > MIN_ALBEDO, dr.select(color < MAX_ALBEDO, color, MAX_ALBEDO), MIN_ALBEDO)

        room = _MOST_SCATTERED / dr.max(color) - 1

        u_slope, v_slope = mi.Float(0.0), mi.Float(0.0)
        for code, weight in self._corners(si.uv * relief_scale, slopes, active):
            u_slope += weight * (mi.Float(code & 0xFFFF) - 32768)
            v_slope += weight * (mi.Float(code >> 16) - 32768)
        steepness = strength * (MAX_SLOPE / 32767)
        frame = _tilted_frame(si, u_slope * steepness, v_slope * steepness)
        return Hit(
            frame=frame,
            base=color * (1 - metallic),
            specular=dr.lerp(mi.Color3f(specular), color, metallic),
            alpha=alpha,
            through=dr.select(through < room, through, dr.select(room > 0, room, 0.0)),
        )


def _tilted_frame(si: mi.SurfaceInteraction3f, u_slope: mi.Float, v_slope: mi.Float) -> mi.Frame3f:
    """Frame of the shading normal tilted by a height map's slopes, turned to the ray's side.

    Where the tilted normal would face away from the viewer, the untilted one is used, then the geometric one.
    """
    outgoing = si.to_world(si.wi)
    side = dr.select(dr.dot(si.n, outgoing) < 0, -1.0, 1.0)
    smooth = si.sh_frame.n
    tangents = u_slope * dr.normalize(si.dp_du) + v_slope * dr.normalize(si.dp_dv)
    tilted = dr.normalize(smooth - tangents)

    def seen(normal: mi.Normal3f) -> mi.Bool:
        return dr.dot(normal, outgoing) * side > 0.02

    normal = dr.select(seen(tilted), tilted, dr.select(seen(smooth), smooth, si.n))
    return mi.Frame3f(normal * side)


def _fresnel(specular: mi.Color3f, cosine: mi.Float) -> mi.Color3f:
    """Schlick's approximation; a coat of less than 2% at normal incidence fades at grazing angles too."""
    grazing = dr.select(specular * 50 < 1, specular * 50, 1.0)
    rest = dr.select(cosine < 1, 1 - cosine, 0.0)
    return specular + (grazing - specular) * rest**5


def pane_reflectance(cosine: mi.Float) -> mi.Float:
    """What a pane of glass mirrors at this cosine: both of its faces, by Schlick's approximation."""
    face = 0.04 + 0.96 * dr.select(cosine < 1, 1 - cosine, 0.0) ** 5
    return 2 * face / (1 + face)


def _coat_share(hit: Hit, cos_in: mi.Float) -> mi.Float:
    """Probability of sampling the coat instead of the base."""
    coat, base = mi.luminance(_fresnel(hit.specular, cos_in)), mi.luminance(hit.base)
    return dr.select(coat + base > 1e-6, coat / (coat + base + 1e-9), 0.0)


def evaluate(hit: Hit, wi: mi.Vector3f, wo: mi.Vector3f, active: mi.Bool) -> tuple[mi.Float, mi.Color3f, mi.Float]:
    """For directions in `hit.frame`, wi towards the viewer and wo towards the light: (lambert, coat, pdf).

    lambert: cos / pi, to be multiplied by `hit.base`, and less for light from behind; coat: BSDF times cosine; pdf: density
    of `sample` per solid angle.
    """
    active &= wi.z > 0
    lambert = dr.select(active, dr.select(wo.z > 0, wo.z, -wo.z * hit.through) * dr.inv_pi, 0.0)
    front = active & (wo.z > 0)
    half = dr.normalize(wi + wo)
    distribution = mi.MicrofacetDistribution(mi.MicrofacetType.GGX, hit.alpha, True)
    cosine = dr.dot(wi, half)
    density = distribution.eval(half)
    masking = distribution.G(wi, wo, half)
    coat = _fresnel(hit.specular, cosine) * (density * masking / (4 * dr.select(wi.z > 1e-4, wi.z, 1e-4)))
    share = _coat_share(hit, wi.z)
    coat_pdf = dr.select(cosine > 1e-4, distribution.pdf(wi, half) / (4 * cosine), 0.0)
    pdf = dr.lerp(lambert / (1 + hit.through), coat_pdf, share)
    # A sheet also has what the coat sends below the horizon.
    active &= (wo.z > 0) | (hit.through > 0)
    return lambert, dr.select(front, coat, 0.0), dr.select(active, pdf, 0.0)


def sample(hit: Hit, wi: mi.Vector3f, choice: mi.Float, point: mi.Point2f) -> mi.Vector3f:
    """Draw a direction wo in `hit.frame`; the coat's may lie below the horizon."""
    distribution = mi.MicrofacetDistribution(mi.MicrofacetType.GGX, hit.alpha, True)
    half, _ = distribution.sample(wi, point)
    reflected = mi.reflect(wi, half)
    diffuse = mi.warp.square_to_cosine_hemisphere(point)
    share = _coat_share(hit, wi.z)
    # What is left of the choice is uniform again: whether the base sends the light back or through.
    rest = (choice - share) / dr.select(share < 1, 1 - share, 1.0)
    diffuse.z *= dr.select(rest * (1 + hit.through) < hit.through, -1.0, 1.0)
    return dr.select(choice < share, reflected, diffuse)


class MaterialBSDF(mi.BSDF):
    """The same surfaces as a Mitsuba BSDF, so that any of Mitsuba's integrators can render the scene.

    `table` has to be set before rendering.
    """

    table: MaterialTable

    def __init__(self, properties: mi.Properties):
        super().__init__(properties)
        flags = mi.BSDFFlags.GlossyReflection | mi.BSDFFlags.FrontSide | mi.BSDFFlags.BackSide
        self.m_components = [flags]
        self.m_flags = flags

    def _local(self, si: mi.SurfaceInteraction3f, active: mi.Bool) -> tuple[Hit, mi.Vector3f]:
        hit = self.table.lookup(si, active)
        return hit, hit.frame.to_local(si.to_world(si.wi))

    def eval_pdf(
        self, context: mi.BSDFContext, si: mi.SurfaceInteraction3f, wo: mi.Vector3f, active: mi.Bool | bool = True
    ) -> tuple[mi.Color3f, mi.Float]:
        hit, wi = self._local(si, active)
        lambert, coat, pdf = evaluate(hit, wi, hit.frame.to_local(si.to_world(wo)), mi.Bool(active))
        return hit.base * lambert + coat, pdf

    def eval(
        self, context: mi.BSDFContext, si: mi.SurfaceInteraction3f, wo: mi.Vector3f, active: mi.Bool | bool = True
    ) -> mi.Color3f:
        return self.eval_pdf(context, si, wo, active)[0]

    def pdf(
        self, context: mi.BSDFContext, si: mi.SurfaceInteraction3f, wo: mi.Vector3f, active: mi.Bool | bool = True
    ) -> mi.Float:
        return self.eval_pdf(context, si, wo, active)[1]

    def sample(
        self,
        context: mi.BSDFContext,
        si: mi.SurfaceInteraction3f,
        sample1: mi.Float,
        sample2: mi.Point2f,
        active: mi.Bool | bool = True,
    ) -> tuple[mi.BSDFSample3f, mi.Color3f]:
        hit, wi = self._local(si, active)
        direction = sample(hit, wi, sample1, sample2)
        lambert, coat, pdf = evaluate(hit, wi, direction, mi.Bool(active))
        result = mi.BSDFSample3f()
        result.wo = si.to_local(hit.frame.to_world(direction))
        result.pdf = pdf
        result.eta = 1.0
        result.sampled_type = mi.UInt32(+mi.BSDFFlags.GlossyReflection)
        result.sampled_component = mi.UInt32(0)
        weight = dr.select(pdf > 0, (hit.base * lambert + coat) / pdf, 0.0)
        return result, weight

    def eval_diffuse_reflectance(self, si: mi.SurfaceInteraction3f, active: mi.Bool | bool = True) -> mi.Color3f:
        return self.table.lookup(si, active).base

    def to_string(self) -> str:
        return "MaterialBSDF[]"


def register() -> None:
    """Make `{'type': 'intrinsic_materials'}` known to Mitsuba."""
    mi.register_bsdf("intrinsic_materials", lambda properties: MaterialBSDF(properties))
