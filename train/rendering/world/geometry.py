"""Meshes: boxes with bevels, prisms, lathes, superquadrics, tubes.

Every maker returns a `Mesh` that stands on z = 0 and is centred in x and y unless it says otherwise, with faces
counter-clockwise from outside and uv in metres along the surface. Where surfaces meet at a crease the vertices are split,
so that averaged normals stay sharp there; `vertex_normals` averages across the seams of uv only.

Seen from outside, u runs to the right and v up, as the library's pictures expect (their top is v = 1); `grain` turns u
along an axis: the library's wood runs along u.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from intrinsic_flow.train.rendering.scene import Mesh

CREASE = np.cos(np.radians(40.0))  # faces that meet at less than this are smooth across duplicated vertices
AXES = np.eye(3)

# A few numbers, one for each axis.
Vector = Sequence[float] | np.ndarray


def translation(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """(4, 4) matrix that moves by (x, y, z) metres."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def rotation(axis: str, degrees: float) -> np.ndarray:
    """(4, 4) right-handed rotation about the "x", "y" or "z" axis."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def moved(mesh: Mesh, frame: np.ndarray) -> Mesh:
    """The mesh in the coordinates of a rigid (4, 4) frame; uv stay in metres."""
    normals = mesh.normals
    if normals is not None:
        normals = normals @ np.linalg.inv(frame[:3, :3])
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    return Mesh(mesh.vertices @ frame[:3, :3].T + frame[:3, 3], mesh.faces, mesh.uv, mesh.smooth, normals)


def scaled(mesh: Mesh, factors: float | Vector) -> Mesh:
    """The mesh stretched by one factor, or one for each axis. uv grow by the geometric mean."""
    each = np.broadcast_to(np.asarray(factors, float), 3)
    return Mesh(mesh.vertices * each, mesh.faces, mesh.uv * np.prod(each) ** (1 / 3), mesh.smooth)


def resized(mesh: Mesh, factor: float) -> Mesh:
    """A model larger by one factor: its picture, which uv (0, 0)..(1, 1) shows whole, grows with it; its normals stay."""
    return replace(mesh, vertices=mesh.vertices * factor)


def shifted_uv(mesh: Mesh, offset: Vector, quarter_turn: bool = False) -> Mesh:
    """The mesh with other places of the texture on it."""
    uv = mesh.uv[:, ::-1] * (-1, 1) if quarter_turn else mesh.uv
    return replace(mesh, uv=uv + np.asarray(offset, float))


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of many that agree in `smooth`."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts)]
    vertices = np.concatenate([mesh.vertices for mesh in meshes])
    return Mesh(vertices, np.concatenate(faces), np.concatenate([mesh.uv for mesh in meshes]), meshes[0].smooth)


def standing(mesh: Mesh) -> Mesh:
    """The mesh moved so that it stands on z = 0, centred in x and y."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    center = (low + high) / 2
    return moved(mesh, translation(-center[0], -center[1], -low[2]))


def face_normals(mesh: Mesh) -> np.ndarray:
    """(F, 3) normals, as long as twice the area of their face."""
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    return np.cross(b - a, c - a)


def area(mesh: Mesh) -> float:
    """Surface in square metres."""
    return float(np.linalg.norm(face_normals(mesh), axis=1).sum() / 2)


def uv_area(mesh: Mesh) -> float:
    """Surface in uv, mirrored faces counted positive."""
    a, b, c = mesh.uv[mesh.faces].transpose(1, 0, 2)
    (x1, y1), (x2, y2) = (b - a).T, (c - a).T
    return float(np.abs(x1 * y2 - x2 * y1).sum() / 2)


def vertex_normals(mesh: Mesh) -> np.ndarray:
    """(V, 3) unit normals of a smooth mesh: area-weighted over the faces of a vertex, and over vertices at the same place
    whose normals differ by less than the crease angle (seams of uv are no creases).
    """
    normals = np.zeros_like(mesh.vertices)
    for corner in range(3):
        np.add.at(normals, mesh.faces[:, corner], face_normals(mesh))
    unit = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    _, place = np.unique(np.round(mesh.vertices / 1e-6).astype(np.int64), axis=0, return_inverse=True)
    order = np.argsort(place.ravel(), kind="stable")
    place = place.ravel()[order]
    averaged = normals.copy()
    for step in range(1, int(np.bincount(place).max())):
        first, second = order[:-step], order[step:]
        alike = (place[:-step] == place[step:]) & ((unit[first] * unit[second]).sum(1) > CREASE)
        np.add.at(averaged, first[alike], normals[second[alike]])
        np.add.at(averaged, second[alike], normals[first[alike]])
    return averaged / np.maximum(np.linalg.norm(averaged, axis=1, keepdims=True), 1e-20)


def _without_slivers(mesh: Mesh) -> Mesh:
    """The mesh without faces of (nearly) no area, such as those at a pole."""
    keep = np.linalg.norm(face_normals(mesh), axis=1) > 1e-13
    return Mesh(mesh.vertices, mesh.faces[keep], mesh.uv, mesh.smooth)


def grid_faces(rows: int, columns: int) -> np.ndarray:
    """Faces of a (rows, columns) grid of vertices; they face d/dcolumn x d/drow."""
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])


def _steps(points: np.ndarray, axis: int) -> np.ndarray:
    """Mean arc length along an axis of a (rows, columns, 3) grid, from 0."""
    lengths = np.linalg.norm(np.diff(points, axis=axis), axis=-1).mean(1 - axis)
    return np.concatenate([[0.0], np.cumsum(lengths)])


def surface(points: np.ndarray, smooth: bool = True, uv: np.ndarray | None = None) -> Mesh:
    """An open sheet through a (rows, columns, 3) grid of points; it faces d/dcolumn x d/drow. uv (rows, columns, 2); None:
    mean arc lengths, u along columns and v along rows, scaled to the sheet's area.
    """
    rows, columns = points.shape[:2]
    arcs = np.stack(np.meshgrid(_steps(points, 1), _steps(points, 0)), -1) if uv is None else uv
    mesh = Mesh(points.reshape(-1, 3).astype(float), grid_faces(rows, columns), arcs.reshape(-1, 2).astype(float), smooth)
    if uv is None:
        mesh = Mesh(mesh.vertices, mesh.faces, mesh.uv * np.sqrt(area(mesh) / max(uv_area(mesh), 1e-12)), smooth)
    return _without_slivers(mesh)


def _right_and_up(normal: np.ndarray, grain: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (P, 3) along which u and v grow on planes of unit normals (P, 3); all three are right-handed."""
    up = np.where(np.abs(normal[:, 2:]) > 0.9, AXES[1], AXES[2])
    right = np.cross(up, normal)
    if grain is not None:
        along = AXES[grain] - normal * normal[:, grain, None]
        right = np.where(np.abs(normal[:, grain, None]) < 0.9, along, right)
    right = right / np.linalg.norm(right, axis=1, keepdims=True)
    return right, np.cross(normal, right)


def polygons(corners: Sequence[np.ndarray], grain: int | None = None) -> Mesh:
    """Flat convex polygons, each (N, 3) counter-clockwise from outside, with uv in metres on their planes."""
    pieces = []
    for count in sorted({len(points) for points in corners}):
        points = np.array([each for each in corners if len(each) == count])
        normal = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
        right, up = _right_and_up(normal / np.linalg.norm(normal, axis=1, keepdims=True), grain)
        uv = np.stack([(points * right[:, None]).sum(-1), (points * up[:, None]).sum(-1)], -1)
        fan = np.arange(1, count - 1)
        faces = np.stack([np.zeros_like(fan), fan, fan + 1], 1) + count * np.arange(len(points))[:, None, None]
        pieces.append(Mesh(points.reshape(-1, 3), faces.reshape(-1, 3), uv.reshape(-1, 2), False))
    return merged(pieces)


def box(size: Vector, bevel: float = 0.0, grain: int | Literal["longest"] | None = "longest") -> Mesh:
    """A box of (x, y, z) metres whose edges are cut off by `bevel` metres (0: sharp). grain: the axis that u follows,
    None: horizontal.
    """
    sides = np.asarray(size, float)
    half = sides / 2
    cut = float(min(bevel, 0.4 * sides.min()))
    inner = half - cut
    corners = []
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        for sign in (-1.0, 1.0):
            square = np.zeros((4, 3))
            square[:, axis] = sign * half[axis]
            square[:, first] = np.array([-1, 1, 1, -1]) * inner[first]
            square[:, second] = np.array([-1, -1, 1, 1]) * inner[second]
            corners.append(square if sign > 0 else square[::-1])
    if cut > 0:
        corners += _chamfers(half, inner)
    mesh = polygons(corners, int(np.argmax(sides)) if grain == "longest" else grain)
    return moved(mesh, translation(z=half[2]))


def _chamfers(half: np.ndarray, inner: np.ndarray) -> list[np.ndarray]:
    """The 12 strips along a box's edges and the 8 triangles at its corners."""
    pieces = []
    for along in range(3):
        first, second = (along + 1) % 3, (along + 2) % 3
        for a in (-1.0, 1.0):
            for b in (-1.0, 1.0):
                strip = np.zeros((4, 3))
                strip[:, along] = np.array([-1, -1, 1, 1]) * inner[along]
                strip[:, first] = a * np.array([half[first], inner[first], inner[first], half[first]])
                strip[:, second] = b * np.array([inner[second], half[second], half[second], inner[second]])
                pieces.append(strip if a * b > 0 else strip[::-1])
    for signs in np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T:
        triangle = signs * (np.diag(half) + (1 - np.eye(3)) * inner)
        pieces.append(triangle if np.prod(signs) > 0 else triangle[::-1])
    return pieces


def block(low: Vector, high: Vector) -> Mesh:
    """A sharp box between two corners, in place; its uv follow from its place, so that the texture runs on from block to
    block of a wall.
    """
    first, last = np.asarray(low, float), np.asarray(high, float)
    mesh = box(last - first, grain=None)
    corners = mesh.vertices + ((first + last) / 2 * (1, 1, 0) + first * (0, 0, 1))
    return polygons(list(corners.reshape(-1, 4, 3)))


def panel(width: float, height: float) -> Mesh:
    """A vertical rectangle that faces -y and shows one whole texture: uv (0, 0) at its lower left, (1, 1) upper right."""
    x, z = np.array([-1, 1, 1, -1]) * width / 2, np.array([0, 0, 1, 1]) * height
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    return Mesh(np.stack([x, 0 * x, z], 1), np.array([[0, 1, 2], [0, 2, 3]]), uv, False)


def sheet(width: float, depth: float, whole: bool = False) -> Mesh:
    """A rectangle that faces up; whole: it shows one whole texture, the upper edge at +y."""
    x, y = np.array([-1, 1, 1, -1]) * width / 2, np.array([-1, -1, 1, 1]) * depth / 2
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float) if whole else np.stack([x, y], 1)
    return Mesh(np.stack([x, y, 0 * x], 1), np.array([[0, 1, 2], [0, 2, 3]]), uv, False)


def _ears(outline: np.ndarray) -> np.ndarray:
    """(N - 2, 3) triangles of a simple counter-clockwise polygon (N, 2), by ear clipping."""
    left, triangles = list(range(len(outline))), []

    def turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])

    while len(left) > 3:
        for i in range(len(left)):
            a, b, c = left[i - 1], left[i], left[(i + 1) % len(left)]
            others = outline[[k for k in left if k not in (a, b, c)]]
            p, q, r = outline[a], outline[b], outline[c]
            inside = (turn(p, q, others) >= 0) & (turn(q, r, others) >= 0) & (turn(r, p, others) >= 0)
            if turn(p, q, r) > 0 and not inside.any():
                break
        triangles.append((left[i - 1], left[i], left[(i + 1) % len(left)]))
        left.pop(i)
    return np.array([*triangles, tuple(left)])


def prism(outline: np.ndarray, height: float) -> Mesh:
    """A simple counter-clockwise polygon (N, 2) in x and y, extruded from z = 0 up to `height`. It keeps its place."""
    outline = np.asarray(outline, float)
    following = np.roll(outline, -1, 0)
    low, high = np.zeros((len(outline), 1)), np.full((len(outline), 1), height)
    a, b = np.hstack([outline, low]), np.hstack([following, low])
    c, d = np.hstack([following, high]), np.hstack([outline, high])
    sides = polygons(list(np.stack([a, b, c, d], 1)))
    ears = _ears(outline)
    bottom = Mesh(a, ears[:, ::-1], outline * (-1, 1), False)
    top = Mesh(d, ears, outline, False)
    return merged([sides, bottom, top])


def _runs(profile: np.ndarray) -> list[np.ndarray]:
    """The profile cut at its corners that are sharper than the crease angle."""
    steps = np.diff(profile, axis=0)
    steps = steps / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-12)
    sharp = np.flatnonzero((steps[:-1] * steps[1:]).sum(1) < CREASE) + 1
    bounds = [0, *sharp, len(profile) - 1]
    return [profile[start : stop + 1] for start, stop in zip(bounds[:-1], bounds[1:])]


def lathe(profile: np.ndarray, segments: int = 32, whole: bool = False) -> Mesh:
    """A (radius, z) profile (N, 2) turned about the z axis. It goes counter-clockwise in the (radius, z) plane, from the
    bottom's middle outwards and up; closed where it starts and ends on the axis. whole: u once around, v once from the
    profile's start to its end (top).
    """
    profile = np.asarray(profile, float)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    around = np.stack([np.cos(angle), np.sin(angle)], -1)
    around[-1] = around[0]
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    pieces, start = [], 0
    for run in [profile] if whole else _runs(profile):
        radius, z = run[:, 0], run[:, 1]
        points = np.concatenate(
            [radius[:, None, None] * around, np.broadcast_to(z[:, None, None], (len(run), len(angle), 1))], -1
        )
        arc = length[start : start + len(run)]
        start += len(run) - 1
        if whole:
            uv = np.stack(np.meshgrid(angle / (2 * np.pi), arc / length[-1]), -1)
        elif abs(radius[-1] - radius[0]) > abs(z[-1] - z[0]) and min(radius[0], radius[-1]) < 0.5 * max(
            radius[0], radius[-1]
        ):
            uv = radius[:, None, None] * around  # a lid or a floor: as cut from a flat sheet
        else:
            weights = np.linalg.norm(np.diff(run, axis=0), axis=1)
            mean = float(((radius[:-1] + radius[1:]) / 2 * weights).sum() / max(weights.sum(), 1e-12))
            uv = np.stack(np.meshgrid(angle * mean, arc), -1)
        pieces.append(surface(points, True, uv))
    return merged(pieces)


def cylinder(radius: float, height: float, bevel: float = 0.0, segments: int = 28, top_radius: float | None = None) -> Mesh:
    """A closed cylinder, or cone where `top_radius` differs, with its two edges cut off."""
    top = radius if top_radius is None else top_radius
    cut = min(bevel, 0.4 * height, 0.6 * min(radius, top))
    if cut > 0:
        profile = [(0, 0), (radius - cut, 0), (radius, cut), (top, height - cut), (top - cut, height), (0, height)]
    else:
        profile = [(0, 0), (radius, 0), (top, height), (0, height)]
    return lathe(np.array(profile), segments)


def smooth_profile(points: Sequence[Vector] | np.ndarray, samples: int = 24) -> np.ndarray:
    """(samples, 2) points of the uniform Catmull-Rom curve through (N, 2) points."""
    knots = np.asarray(points, float)
    padded = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    t = np.linspace(0, len(knots) - 1 - 1e-9, samples)
    i, f = t.astype(int), (t % 1)[:, None]
    p0, p1, p2, p3 = (padded[i + k] for k in range(4))
    curve = 2 * p1 + (p2 - p0) * f + (2 * p0 - 5 * p1 + 4 * p2 - p3) * f**2 + (3 * p1 - p0 - 3 * p2 + p3) * f**3
    curve = curve / 2
    curve[-1] = knots[-1]
    return curve


def vessel_profile(outer: np.ndarray, thickness: float) -> np.ndarray:
    """The closed profile of a hollow vessel: a flat bottom, the outer wall (N, 2) from its foot up, a rounded rim, the
    inner wall down to the inner floor.
    """
    inner = outer[::-1] - (thickness, 0)
    inner = inner[(inner[:, 1] > thickness) & (inner[:, 0] > 0)]
    rim = outer[-1] + np.array([[-0.15, 0.25], [-0.5, 0.4], [-0.85, 0.25]]) * thickness
    floor = np.array([[max(inner[-1, 0] * 0.9, 1e-4), thickness], [0.0, thickness]])
    return np.vstack([[0.0, outer[0, 1]], outer, rim, inner, floor])


def _cube_patches(coordinates: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Six (rows, columns, 3) grids on the faces of a box; coordinates: for each axis the places of its grid lines."""
    patches = []
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        for end in (0, -1):
            a, b = np.meshgrid(coordinates[first], coordinates[second])
            points = np.zeros((*a.shape, 3))
            points[..., axis] = coordinates[axis][end]
            points[..., first], points[..., second] = a, b
            patches.append(points if end == -1 else points[:, ::-1])
    return patches


def rounded_box(size: Vector, radius: float, segments: int = 3, bulge: float = 0.0) -> Mesh:
    """A box with round edges, smooth all over: upholstery, mattresses, appliances. bulge: metres that the middles of its
    faces swell.
    """
    half = np.asarray(size, float) / 2
    radius = float(min(radius, 0.98 * half.min()))
    core = half - radius
    bend = radius * np.tan(np.linspace(0, np.pi / 4, segments + 1))
    middle = 5 if bulge else 2
    coordinates = [
        np.concatenate([-(c + bend[::-1]), np.linspace(-c, c, middle + 1)[1:-1], c + bend]) for c in np.maximum(core, 1e-6)
    ]
    pieces = []
    for points in _cube_patches(coordinates):
        inside = np.clip(points, -core, core)
        away = points - inside
        direction = away / np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-12)
        round_points = inside + radius * direction
        swell = np.cos(np.clip(round_points / half, -1, 1) * np.pi / 2)
        swell = np.stack([swell[..., 1] * swell[..., 2], swell[..., 0] * swell[..., 2], swell[..., 0] * swell[..., 1]], -1)
        pieces.append(surface(round_points + bulge * swell**0.7 * np.sign(round_points) * (np.abs(direction) > 1e-6)))
    return standing(merged(pieces))


def superquadric(
    size: Vector, e1: float = 1.0, e2: float = 1.0, segments: int = 12, lumps: np.ndarray | None = None
) -> Mesh:
    """A superquadric of (x, y, z) metres (Barr 1981): exponents 1 an ellipsoid, towards 0 a box, 2 an octahedron. e1 shapes
    it along z, e2 in the xy plane. It is sampled as a cube blown up, so it has no poles. lumps: (K, 5) waves on its radius:
    wave vector (3) over the unit ball, phase, amplitude.
    """
    spread = np.linspace(-1, 1, segments + 1)
    spread = np.tan(np.pi / 4 * (spread if max(e1, e2) > 0.7 else 1.5 * spread - 0.5 * spread**3))
    pieces = []
    for points in _cube_patches([spread] * 3):
        x, y, z = np.moveaxis(np.abs(points) + 1e-12, -1, 0)
        inside_out = (x ** (2 / e2) + y ** (2 / e2)) ** (e2 / e1) + z ** (2 / e1)
        ball = points * inside_out[..., None] ** (-e1 / 2)
        if lumps is not None:
            ball = ball * np.exp((lumps[:, 4] * np.sin(ball @ lumps[:, :3].T + lumps[:, 3])).sum(-1, keepdims=True))
        pieces.append(surface(ball * np.asarray(size, float) / 2))
    return standing(merged(pieces))


def lumpy_waves(rng: np.random.Generator, amplitude: float, count: int = 7) -> np.ndarray:
    """Waves for `superquadric(lumps=...)`: long ones strong, short ones weak, as on a stone or a potato."""
    scale = np.geomspace(2.0, 9.0, count)
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return np.hstack([direction * scale[:, None], rng.uniform(0, 6.3, (count, 1)), (amplitude * 2.5 / scale)[:, None]])


def tube(path: np.ndarray, radius: float | np.ndarray, segments: int = 10) -> Mesh:
    """A closed round tube along a path (N, 3), in place; radius: one, or one for each point. v runs along it."""
    path = np.asarray(path, float)
    radius = np.broadcast_to(np.asarray(radius, float), len(path))
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    side = np.cross(tangent[0], AXES[np.argmin(np.abs(tangent[0]))])
    transported = []
    for direction in tangent:  # parallel transport: the ring does not twist
        side = side - direction * (side @ direction)
        side = side / np.linalg.norm(side)
        transported.append(side)
    sides = np.array(transported)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    ring = np.cos(angle)[:, None] * sides[:, None] + np.sin(angle)[:, None] * np.cross(tangent, sides)[:, None]
    ring[:, -1] = ring[:, 0]
    points = path[:, None] + radius[:, None, None] * ring
    arc = _steps(points, 0)
    wall = surface(points, True, np.stack(np.meshgrid(angle * radius.mean(), arc), -1))
    flat = np.stack([np.cos(angle), np.sin(angle)], -1)
    caps = []
    for end, turn in ((0, -1), (-1, 1)):
        rows = np.stack([points[end], np.broadcast_to(path[end], points[end].shape)])
        uv = np.stack([flat * radius[end], 0 * flat])
        caps.append(surface(rows[:, ::turn], True, uv[:, ::turn]))
    return merged([wall, *caps])


def arc_path(start: Vector, middle: Vector, end: Vector, points: int = 10) -> np.ndarray:
    """(points, 3) quadratic Bezier curve from start to end, pulled towards `middle`."""
    t = np.linspace(0, 1, points)[:, None]
    a, b, c = (np.asarray(p, float) for p in (start, middle, end))
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
