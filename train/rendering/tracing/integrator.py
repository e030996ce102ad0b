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
from intrinsic_flow.train.rendering.tracing.assembly import LAMP, SKY, AssembledScene, camera_rays
from intrinsic_flow.train.rendering.tracing.light_table import LightTable
from intrinsic_flow.train.rendering.tracing.quality import BUCKETS

# Lanes traced at once: bounds memory (about 0.4 KiB a lane) and keeps a picture of any size in steps.
_MAX_LANES = 1 << 21
# Cut-outs and panes that a ray goes through at most; a ray that meets more ends.
_MOST_LAYERS = 24
# How far behind a cut-out or pane a ray goes on, relative to 1 + its largest coordinate: Mitsuba's own step, ten times as
# much, would jump over the skin right under hair.
_STEP = 1e-5
# Density of a direction that has no other: light that a pane mirrors is found in no other way.
_CERTAIN = 1e12
# What `surface` asks of an interaction.
_FIELDS = mi.RayFlags.UV | mi.RayFlags.dPdUV | mi.RayFlags.ShadingFrame


@dataclass(frozen=True, eq=False)
class Layers:
    """A rendered view. K light groups, linear light, sample means; H x W pixels.

    diffuse: (BUCKETS, K, H, W, 3) float32, albedo times irradiance / pi, summed before division by anything, so that it is
    right at silhouettes too. residual: (BUCKETS, K, H, W, 3). albedo: (H, W, 3) diffuse albedo, 0 where there is none.
    normal: (H, W, 3) mean shading normal. coverage: (H, W) share of samples that hit a surface. distance: (H, W) mean
    distance to the first surface, in metres, 0 where nothing is hit. surface: (H, W, samples) int32, what each sample
    shows: an index into `AssembledScene.surfaces`.
    """

    diffuse: np.ndarray
    residual: np.ndarray
    albedo: np.ndarray
    normal: np.ndarray
    coverage: np.ndarray
    distance: np.ndarray
    surface: np.ndarray

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3): radiance, all groups, plain mean of all samples."""
        return (self.diffuse + self.residual).mean(0).sum(0)


def _behind(si: mi.SurfaceInteraction3f, direction: mi.Vector3f) -> mi.Point3f:
    """Where a ray that goes through an interaction goes on."""
    return si.p + direction * (_STEP * (1 + dr.max(dr.abs(si.p))))


@dr.syntax
def _shadow(
    scene: mi.Scene, materials: surface.MaterialTable, lights: LightTable, ray: mi.Ray3f, active: mi.Bool
) -> tuple[mi.Bool, mi.Bool, mi.Color3f]:
    """Whether something stands in a ray's way, whether what ends it is a portal, and the light that panes leave of it."""
    ray, going, layers = mi.Ray3f(ray), mi.Bool(active), mi.UInt32(0)
    blocked, window, left = mi.Bool(False), mi.Bool(False), mi.Color3f(1.0)
    while going:
        found = scene.ray_intersect_preliminary(ray, False, going)
        si = found.compute_surface_interaction(ray, mi.RayFlags.UV, going)
        met = going & si.is_valid()
        emitter = si.shape.emitter()
        lamp = met & (emitter != None)  # noqa: E711
        hole, glass, tint = materials.passes(si, met & ~lamp)
        window |= lamp & lights.is_portal(emitter, lamp)
        blocked |= met & ~hole & ~glass
        left *= dr.select(glass, tint * (1 - surface.pane_reflectance(dr.abs_dot(si.n, ray.d))), 1.0)
        layers += 1
        going = (hole | glass) & (layers < _MOST_LAYERS)
        blocked |= (hole | glass) & (layers >= _MOST_LAYERS)
        ray = mi.Ray3f(_behind(si, ray.d), ray.d, ray.maxt - si.t, ray.time, ray.wavelengths)
    return blocked, window, left


@dr.syntax
def _trace(
    assembled: AssembledScene, sampler: mi.Sampler, ray: mi.Ray3f, max_depth: mi.UInt32, roulette_depth: mi.UInt32
) -> tuple[tuple[mi.Color3f, ...], mi.Color3f, mi.Normal3f, mi.Bool, mi.Float, mi.UInt32]:
    """Follow one path a lane. Returns ((S0, R0, S1, R1, S2, R2), albedo, normal, hit, distance, surface) of the lanes."""
    scene, materials = assembled.scene, assembled.materials
    lights, sun_spread = assembled.lights, assembled.sun_spread
    window_sun = assembled.window_sun
    S0, S1, S2 = mi.Color3f(0.0), mi.Color3f(0.0), mi.Color3f(0.0)
    R0, R1, R2 = mi.Color3f(0.0), mi.Color3f(0.0), mi.Color3f(0.0)
    albedo, normal, distance, valid = mi.Color3f(0.0), mi.Normal3f(0.0), mi.Float(0.0), mi.Bool(False)
    surface_seen = mi.UInt32(SKY)
    # Throughputs from the camera: of shading (divided by the first albedo) and of the residual.
    to_shading, to_residual = mi.Color3f(0.0), mi.Color3f(1.0)
    # Of the vertex before, only its place: whole interactions would triple what the loop carries along.
    previous = mi.Point3f(0.0)
    pdf, first, depth, active = mi.Float(1.0), mi.Bool(True), mi.UInt32(0), mi.Bool(True)
    ray, start, layers = mi.Ray3f(ray), mi.Point3f(ray.o), mi.UInt32(0)
    mirrored, through = mi.Bool(False), mi.Bool(False)

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
        lamp = first & active & si.shape.is_emitter()
        surface_seen = dr.select(lamp & ~lights.is_portal(emitter, lamp), mi.UInt32(LAMP), surface_seen)
        active &= ~si.shape.is_emitter()
        if dr.hint(materials.see_through, mode="scalar"):
            # Through cut-outs and panes the path goes on as if nothing had been there, or a pane mirrors it.
            hole, glass, tint = materials.passes(si, active)
            mirror = surface.pane_reflectance(dr.abs_dot(si.n, ray.d))
            mirrored = glass & (sampler.next_1d(glass) < mirror)
            through = hole | (glass & ~mirrored)
            tint = dr.select(through, tint, 1.0)
            to_shading *= dr.select(mirrored & first, 0.0, tint)
            to_residual *= tint
            active &= ~mirrored & ~through
        hit = materials.lookup(si, active)
        wi = hit.frame.to_local(-ray.d)
        opening = first & active
        albedo = dr.select(opening, hit.base, albedo)
        normal = dr.select(opening, hit.frame.n, normal)
        distance = dr.select(opening, dr.norm(si.p - start), distance)
        surface_seen = dr.select(opening, materials.surface(si, opening), surface_seen)
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
        if dr.hint(materials.see_through, mode="scalar"):
            blocked, at_portal, left = _shadow(scene, materials, lights, shadow, seen)
            window = sample.delta & at_portal
            seen &= ~blocked | window
            radiance *= left
        else:
            blocker = scene.ray_intersect_preliminary(shadow, False, seen)
            window = sample.delta & blocker.is_valid() & lights.is_portal(blocker.shape.emitter(), seen)
            seen &= ~blocker.is_valid() | window
        lambert, coat, bsdf_pdf = surface.evaluate(hit, wi, hit.frame.to_local(toward), seen)
        light_pdf = sample.pdf * probability
        weight = dr.select(sample.delta, 1.0, light_pdf / (light_pdf + bsdf_pdf + 1e-20))
        if window_sun is not None:
            # The path could have been joined to this patch of sunlight from the vertex before.
            path_density = pdf * dr.abs_dot(si.n, ray.d) / (dr.squared_norm(si.p - previous) + 1e-20)
            window_density = window_sun.density(dr.abs_dot(si.n, toward))
            share = path_density / (path_density + window_density + 1e-20)
            weight *= dr.select(window & ~first, share, 1.0)
        light = radiance * dr.select(seen, weight, 0.0)
        group = lights.group(chosen, seen)
        both = hit.base * lambert + coat
        shading = dr.select(first, to_residual * lambert, to_shading * both) * light
        residual = to_residual * dr.select(first, coat, both) * light
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
            if dr.hint(materials.see_through, mode="scalar"):
                blocked, _, left = _shadow(scene, materials, lights, connection, joined)
                hole, glass, _ = materials.passes(patch, joined)
                joined &= ~blocked & ~hole & ~glass
            else:
                joined &= ~scene.ray_test(connection, False, joined)
                left = mi.Color3f(1.0)
            patch_hit = materials.lookup(patch, joined)
            patch_wi, patch_wo = patch_hit.frame.to_local(-toward), patch_hit.frame.to_local(-travel)
            patch_lambert, patch_coat, _ = surface.evaluate(patch_hit, patch_wi, patch_wo, joined)
            lambert, coat, path_density = surface.evaluate(hit, wi, hit.frame.to_local(toward), joined)
            geometry = dr.abs_dot(patch.n, toward) / squared
            window_density = window_sun.density(dr.abs_dot(patch.n, travel))
            path_density *= geometry
            weight = dr.select(joined, geometry / (window_density + path_density + 1e-20), 0.0)
            light = (patch_hit.base * patch_lambert + patch_coat) * window_sun.irradiance * left * weight
            both = hit.base * lambert + coat
            # The sun is the first of all groups.
            S0 += dr.select(joined, dr.select(first, to_residual * lambert, to_shading * both) * light, 0.0)
            R0 += dr.select(joined, to_residual * dr.select(first, coat, both) * light, 0.0)

        # The next direction.
        last_pdf = mi.Float(pdf)
        direction = surface.sample(hit, wi, sampler.next_1d(active), sampler.next_2d(active))
        lambert, coat, pdf = surface.evaluate(hit, wi, direction, active)
        active &= pdf > 0
        scale = dr.select(active, dr.rcp(pdf), 0.0)
        both = (hit.base * lambert + coat) * scale
        onward = ~(mirrored | through)
        to_shading = dr.select(onward, dr.select(first, to_residual * lambert * scale, to_shading * both), to_shading)
        to_residual = dr.select(onward, dr.select(first, to_residual * coat * scale, to_residual * both), to_residual)
        onto = hit.frame.to_world(direction)
        if dr.hint(materials.see_through, mode="scalar"):
            onto = dr.select(through, ray.d, dr.select(mirrored, mi.reflect(-ray.d, si.n), onto))
            pdf = dr.select(mirrored, _CERTAIN, dr.select(through, last_pdf, pdf))
            layers += dr.select(through, mi.UInt32(1), mi.UInt32(0))
            active |= (mirrored | through) & (layers < _MOST_LAYERS)
        ray = si.spawn_ray(onto)
        ray.o = dr.select(through, _behind(si, onto), ray.o)
        previous = dr.select(through, previous, si.p)
        first &= through
        depth += dr.select(through, mi.UInt32(0), mi.UInt32(1))

        # Russian roulette by what the path still carries.
        carried = mi.luminance(to_shading * albedo + to_residual)
        survival = dr.select(carried < 0.95, carried, 0.95)
        survival = dr.select((depth >= roulette_depth) & onward, survival, 1.0)
        active &= sampler.next_1d(active) < survival
        boost = dr.select(survival > 0, dr.rcp(survival), 0.0)
        to_shading *= boost
        to_residual *= boost

    return (S0, R0, S1, R1, S2, R2), albedo, normal, valid, distance, surface_seen


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
        rays = camera_rays(camera, x, y, sampler.next_2d(), width, height)
        light, albedo, normal, valid, distance, surface_seen = _trace(assembled, sampler, rays, depth, roulette)
        hit = dr.select(valid, mi.Float(1.0), 0.0)
        outputs = []
        for k in range(MAX_LIGHT_GROUPS):
            shading, residual = light[2 * k : 2 * k + 2]
            outputs += [_finite(albedo * shading), _finite(residual)]
        dr.eval(outputs, albedo, normal, hit, distance, surface_seen)
        each = samples // BUCKETS
        strip = [_buckets(output, each, pixels) for output in outputs[: 2 * groups]]
        strip += [_buckets(value, each, pixels).mean(0) for value in (albedo, normal, (hit, distance))]
        strip.append(np.array(surface_seen).astype(np.int32).reshape(pixels, samples))
        strips.append([part.reshape(*part.shape[:-2], rows, width, part.shape[-1]) for part in strip])
    parts = [np.concatenate(column, axis=-3) for column in zip(*strips)]
    light, (albedo, normal, other, surface_seen) = parts[: 2 * groups], parts[2 * groups :]
    coverage = other[..., 0]
    return Layers(
        diffuse=np.stack(light[0::2], 1),
        residual=np.stack(light[1::2], 1),
        albedo=albedo,
        normal=normal,
        coverage=coverage,
        distance=other[..., 1] / np.maximum(coverage, 1e-6),
        surface=surface_seen,
    )


def _finite(value: mi.Color3f) -> mi.Color3f:
    """A path whose arithmetic overflowed counts as black."""
    return dr.select(dr.isfinite(value), value, 0.0)
