"""A path tracer that takes its light apart: albedo, and diffuse shading and residual of each light group, in one pass.

At the first surface of a path, light that the Lambertian base reflects is recorded as shading S (irradiance / pi) and
everything else as residual R (the coat's reflection, metal, directly seen lights and sky), apart for each group of
lights. So `sum over groups of (A * S + R)` is the radiance that a plain path tracer finds, sample by sample. Next-event
estimation and BSDF sampling are combined by the balance heuristic (Veach 1997).

Samples of a pixel fall into `quality.BUCKETS` equal buckets, of which `fireflies` takes robust means.

Import after `llvm.start_backend`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import drjit as dr
import mitsuba as mi
import numpy as np

from intrinsic_flow.train.data.shards import MAX_LIGHT_GROUPS
from intrinsic_flow.train.rendering.scene import Camera
from intrinsic_flow.train.rendering.tracing import surface
from intrinsic_flow.train.rendering.tracing.assembly import AssembledScene, camera_rays
from intrinsic_flow.train.rendering.tracing.quality import BUCKETS

# Lanes traced at once: bounds memory (about 0.4 KiB a lane) and keeps a picture of any size in steps.
_MAX_LANES = 1 << 21
# What `surface` asks of an interaction.
_FIELDS = mi.RayFlags.UV | mi.RayFlags.dPdUV | mi.RayFlags.ShadingFrame


@dataclass(frozen=True, eq=False)
class Layers:
    """A rendered view. K light groups, linear light, sample means; H x W pixels.

    diffuse: (BUCKETS, K, H, W, 3) float32, albedo times irradiance / pi, summed before division by anything, so that it is
    right at silhouettes too. residual: (BUCKETS, K, H, W, 3). albedo: (H, W, 3) diffuse albedo, 0 where there is none.
    normal: (H, W, 3) mean shading normal. coverage: (H, W) share of samples that hit a surface. distance: (H, W) mean
    distance to the first surface, in metres, 0 where nothing is hit.
    """

    diffuse: np.ndarray
    residual: np.ndarray
    albedo: np.ndarray
    normal: np.ndarray
    coverage: np.ndarray
    distance: np.ndarray

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3): radiance, all groups, plain mean of all samples."""
        return (self.diffuse + self.residual).mean(0).sum(0)


@dr.syntax
def _trace(
    assembled: AssembledScene, sampler: mi.Sampler, ray: mi.Ray3f, max_depth: mi.UInt32, roulette_depth: mi.UInt32
) -> tuple[tuple[mi.Color3f, ...], mi.Color3f, mi.Normal3f, mi.Bool, mi.Float]:
    """Follow one path a lane. Returns ((S0, R0, S1, R1, S2, R2), albedo, normal, hit, distance) of the lanes."""
    scene, materials = assembled.scene, assembled.materials
    lights, sun_spread = assembled.lights, assembled.sun_spread
    window_sun = assembled.window_sun
    S0, S1, S2 = mi.Color3f(0.0), mi.Color3f(0.0), mi.Color3f(0.0)
    R0, R1, R2 = mi.Color3f(0.0), mi.Color3f(0.0), mi.Color3f(0.0)
    albedo, normal, distance, valid = mi.Color3f(0.0), mi.Normal3f(0.0), mi.Float(0.0), mi.Bool(False)
    # Throughputs from the camera: of shading (divided by the first albedo) and of the residual.
    to_shading, to_residual = mi.Color3f(0.0), mi.Color3f(1.0)
    # Of the vertex before, only its place: whole interactions would triple what the loop carries along.
    previous = mi.Point3f(0.0)
    pdf, first, depth, active = mi.Float(1.0), mi.Bool(True), mi.UInt32(0), mi.Bool(True)
    ray = mi.Ray3f(ray)

    while active:
        si = scene.ray_intersect(ray, _FIELDS, first, active)

        # Light that the ray runs into.
        emitter = si.emitter(scene, active)
        lit = active & (emitter != None)  # noqa: E711 (an array comparison)
        before = dr.zeros(mi.Interaction3f)
        before.p = previous
        sample = mi.DirectionSample3f(scene, si, before)
        asked = lit & ~first
        light_pdf = emitter.pdf_direction(before, sample, asked) * lights.probability(emitter, asked)
        weight = dr.select(first, 1.0, pdf / (pdf + light_pdf + 1e-20))
        light = emitter.eval(si, lit) * dr.select(lit, weight, 0.0)
        group = lights.group(emitter, lit)
        shading, residual = to_shading * light, to_residual * light
        S0 += dr.select(group == 0, shading, 0.0)
        S1 += dr.select(group == 1, shading, 0.0)
        S2 += dr.select(group == 2, shading, 0.0)
        R0 += dr.select(group == 0, residual, 0.0)
        R1 += dr.select(group == 1, residual, 0.0)
        R2 += dr.select(group == 2, residual, 0.0)

        # Lamps are black: only the world reflects.
        active &= si.is_valid() & (depth + 1 < max_depth)
        active &= ~si.shape.is_emitter()
        hit = materials.lookup(si, active)
        wi = hit.frame.to_local(-ray.d)
        opening = first & active
        albedo = dr.select(opening, hit.base, albedo)
        normal = dr.select(opening, hit.frame.n, normal)
        distance = dr.select(opening, si.t, distance)
        valid |= opening

        # Next-event estimation. Portals stand where the sky would be: the sun shines through them.
        chosen, probability = lights.choose(sampler.next_1d(active), active)
        sample, radiance = chosen.sample_direction(si, sampler.next_2d(active), active)
        seen = active & (sample.pdf > 0)
        radiance *= dr.select(seen, dr.rcp(probability), 0.0)
        disc = mi.warp.square_to_uniform_disk(sampler.next_2d(active)) * dr.select(sample.delta, sun_spread, 0.0)
        around = mi.Frame3f(sample.d)
        toward = dr.normalize(sample.d + around.s * disc.x + around.t * disc.y)
        shadow = si.spawn_ray_to(sample.p)
        shadow.d = dr.select(sample.delta, toward, shadow.d)
        blocker = scene.ray_intersect_preliminary(shadow, False, seen)
        window = sample.delta & blocker.is_valid() & lights.is_portal(blocker.shape.emitter(), seen)
        seen &= ~blocker.is_valid() | window
        lambert, coat, bsdf_pdf = surface.evaluate(hit, wi, hit.frame.to_local(toward), seen)
        light_pdf = sample.pdf * probability
        weight = dr.select(sample.delta, 1.0, light_pdf / (light_pdf + bsdf_pdf + 1e-20))
        if window_sun is not None:
            # The path could have been joined to this patch of sunlight from the vertex before.
            path_density = pdf * dr.abs_dot(si.n, ray.d) / dr.square(si.t)
            window_density = window_sun.density(dr.abs_dot(si.n, toward))
            share = path_density / (path_density + window_density + 1e-20)
            weight *= dr.select(window & ~first, share, 1.0)
        light = radiance * dr.select(seen, weight, 0.0)
        group = lights.group(chosen, seen)
        both = hit.base * lambert + coat
        shading = dr.select(first, mi.Color3f(lambert), to_shading * both) * light
        residual = dr.select(first, coat, to_residual * both) * light
        S0 += dr.select(group == 0, shading, 0.0)
        S1 += dr.select(group == 1, shading, 0.0)
        S2 += dr.select(group == 2, shading, 0.0)
        R0 += dr.select(group == 0, residual, 0.0)
        R1 += dr.select(group == 1, residual, 0.0)
        R2 += dr.select(group == 2, residual, 0.0)

        if window_sun is not None:
            # Join the path to a patch of sunlight, drawn from the window.
            joined = active & (depth + 2 < max_depth)
            disc = mi.warp.square_to_uniform_disk(sampler.next_2d(joined)) * sun_spread
            around = mi.Frame3f(window_sun.direction)
            travel = dr.normalize(window_sun.direction + around.s * disc.x + around.t * disc.y)
            sunbeam = window_sun.sample(sampler.next_1d(joined), sampler.next_2d(joined), travel, joined)
            patch = scene.ray_intersect(sunbeam, _FIELDS, False, joined)
            joined &= patch.is_valid()
            joined &= ~patch.shape.is_emitter()
            offset = patch.p - si.p
            squared = dr.squared_norm(offset)
            joined &= squared > 1e-6
            toward = offset * dr.rsqrt(dr.select(joined, squared, 1.0))
            connection = si.spawn_ray_to(patch.p)
            joined &= ~scene.ray_test(connection, False, joined)
            patch_hit = materials.lookup(patch, joined)
            patch_wi, patch_wo = patch_hit.frame.to_local(-toward), patch_hit.frame.to_local(-travel)
            patch_lambert, patch_coat, _ = surface.evaluate(patch_hit, patch_wi, patch_wo, joined)
            lambert, coat, path_density = surface.evaluate(hit, wi, hit.frame.to_local(toward), joined)
            geometry = dr.abs_dot(patch.n, toward) / squared
            window_density = window_sun.density(dr.abs_dot(patch.n, travel))
            path_density *= geometry
            weight = dr.select(joined, geometry / (window_density + path_density + 1e-20), 0.0)
            light = (patch_hit.base * patch_lambert + patch_coat) * window_sun.irradiance * weight
            both = hit.base * lambert + coat
            # The sun is the first of all groups.
            S0 += dr.select(joined, dr.select(first, mi.Color3f(lambert), to_shading * both) * light, 0.0)
            R0 += dr.select(joined, dr.select(first, coat, to_residual * both) * light, 0.0)

        # The next direction.
        direction = surface.sample(hit, wi, sampler.next_1d(active), sampler.next_2d(active))
        lambert, coat, pdf = surface.evaluate(hit, wi, direction, active)
        active &= pdf > 0
        scale = dr.select(active, dr.rcp(pdf), 0.0)
        both = (hit.base * lambert + coat) * scale
        to_shading = dr.select(first, mi.Color3f(lambert * scale), to_shading * both)
        to_residual = dr.select(first, coat * scale, to_residual * both)
        ray = si.spawn_ray(hit.frame.to_world(direction))
        previous = si.p
        first = mi.Bool(False)
        depth += 1

        # Russian roulette by what the path still carries.
        carried = mi.luminance(to_shading * albedo + to_residual)
        survival = dr.select(carried < 0.95, carried, 0.95)
        survival = dr.select(depth >= roulette_depth, survival, 1.0)
        active &= sampler.next_1d(active) < survival
        boost = dr.select(survival > 0, dr.rcp(survival), 0.0)
        to_shading *= boost
        to_residual *= boost

    return (S0, R0, S1, R1, S2, R2), albedo, normal, valid, distance


def _sampler(samples: int) -> mi.Sampler:
    """Samples that are stratified within a pixel in every dimension, for 15 to 20% less noise at no cost; independent ones
    for the few numbers that do not factor into strata.
    """
    sampler = mi.load_dict({"type": "multijitter", "sample_count": samples})
    if sampler.sample_count() != samples:
        return mi.load_dict({"type": "independent", "sample_count": samples})
    sampler.set_samples_per_wavefront(samples)
    return sampler


def _buckets(value: Iterable[mi.Float], lanes_a_bucket: int, pixels: int) -> np.ndarray:
    """Lane values (3 channels) -> (BUCKETS, pixels, 3) means."""
    channels = [np.array(dr.block_sum(channel, lanes_a_bucket)) for channel in value]
    return np.stack(channels, -1).reshape(pixels, BUCKETS, len(channels)).transpose(1, 0, 2) / lanes_a_bucket


def render_layers(
    assembled: AssembledScene,
    camera: Camera,
    size: tuple[int, int],
    samples: int,
    seed: int,
    max_depth: int = 6,
    roulette_depth: int = 2,
) -> Layers:
    """Render a view. size: (height, width) pixels; samples: paths a pixel, a multiple of BUCKETS; max_depth: vertices of a
    path, camera not counted; seed: any non-negative integer. The same arguments give the same picture.

    ValueError: samples is no positive multiple of BUCKETS.
    """
    if samples < BUCKETS or samples % BUCKETS:
        raise ValueError(f"samples: found {samples}, expected a positive multiple of {BUCKETS}")
    height, width = size
    groups = len(assembled.groups)
    rows_at_once = max(1, _MAX_LANES // (width * samples))
    strips: list[list[np.ndarray]] = []
    depth, roulette = dr.opaque(mi.UInt32, max_depth), dr.opaque(mi.UInt32, roulette_depth)
    for index, top in enumerate(range(0, height, rows_at_once)):
        rows = min(rows_at_once, height - top)
        pixels = rows * width
        sampler = _sampler(samples)
        sampler.seed(int(np.random.SeedSequence([seed, index]).generate_state(1)[0]), pixels * samples)
        pixel = dr.arange(mi.UInt32, pixels * samples) // dr.opaque(mi.UInt32, samples)
        jitter = sampler.next_2d()
        columns = dr.opaque(mi.UInt32, width)
        x = mi.Float(pixel % columns) + jitter.x
        y = mi.Float(pixel // columns) + dr.opaque(mi.Float, float(top)) + jitter.y
        rays = camera_rays(camera, x, y, width, height)
        light, albedo, normal, valid, distance = _trace(assembled, sampler, rays, depth, roulette)
        hit = dr.select(valid, mi.Float(1.0), 0.0)
        outputs = []
        for k in range(MAX_LIGHT_GROUPS):
            shading, residual = light[2 * k : 2 * k + 2]
            outputs += [_finite(albedo * shading), _finite(residual)]
        dr.eval(outputs, albedo, normal, hit, distance)
        each = samples // BUCKETS
        strip = [_buckets(output, each, pixels) for output in outputs[: 2 * groups]]
        strip += [_buckets(value, each, pixels).mean(0) for value in (albedo, normal, (hit, distance))]
        strips.append([part.reshape(*part.shape[:-2], rows, width, part.shape[-1]) for part in strip])
    parts = [np.concatenate(column, axis=-3) for column in zip(*strips)]
    light, (albedo, normal, other) = parts[: 2 * groups], parts[2 * groups :]
    coverage = other[..., 0]
    return Layers(
        diffuse=np.stack(light[0::2], 1),
        residual=np.stack(light[1::2], 1),
        albedo=albedo,
        normal=normal,
        coverage=coverage,
        distance=other[..., 1] / np.maximum(coverage, 1e-6),
    )


def _finite(value: mi.Color3f) -> mi.Color3f:
    """A path whose arithmetic overflowed counts as black."""
    return dr.select(dr.isfinite(value), value, 0.0)
