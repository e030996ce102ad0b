"""Optimisation profiles: the shapes that each graph's engine takes, derived from its `GraphSpec`."""

from __future__ import annotations

from dataclasses import dataclass

from intrinsic_flow.backends.engine_file import ShapeRange
from intrinsic_flow.decomposition.bundle import SIDE_MULTIPLE, GraphSpec

# Rows and columns of the full-resolution image: narrow, ordinary, wide. The runtime cuts an image into strips of whole
# rows, four million pixels each (`upsampling.py`), so that every image with sides up to 16384 lies in one of them;
# one range for all would plan memory for 268 million pixels.
FULL_RESOLUTION = (
    ((1, 1), (2048, 1024), (16384, 1024)),
    ((1, 1), (1080, 1920), (4096, 4096)),
    ((1, 1), (512, 8192), (1024, 16384)),
)


@dataclass(frozen=True)
class Shapes:
    """The shapes that engines are built for.

    batch: least, tuned for, largest. side: the same for height and width of the network's image in pixels, multiples
    of 32. Both sides range on their own, so portrait and landscape are covered alike.
    Raises ValueError where they are out of order.
    """

    batch: tuple[int, int, int] = (1, 1, 8)
    side: tuple[int, int, int] = (32, 256, 1024)

    def __post_init__(self) -> None:
        for name, sizes in (("batch", self.batch), ("resolution", self.side)):
            if sizes[0] < 1 or list(sizes) != sorted(sizes):
                raise ValueError(f"{name} {' '.join(map(str, sizes))}, expected least <= tuned for <= largest, from 1 on")
        if any(side % SIDE_MULTIPLE for side in self.side):
            raise ValueError(f"resolution {' '.join(map(str, self.side))}, expected multiples of {SIDE_MULTIPLE}")


def profiles(spec: GraphSpec, shapes: Shapes) -> tuple[dict[str, ShapeRange], ...]:
    """The profiles of a graph: for each, the shapes of every input.

    The networks have one. The upsampler has one for batches at up to the network's resolution and three for single images
    at full resolution; its low-resolution maps are not padded to multiples of 32, so they may be 31 pixels smaller.
    Neither is the guide of the low shading, whose albedo is.
    """
    low = (max(SIDE_MULTIPLE, shapes.side[0] - SIDE_MULTIPLE + 1), *shapes.side[1:])
    if spec.name == "upsampler":
        small = {"batch": shapes.batch, "full_h": (1, *shapes.side[1:]), "full_w": (1, *shapes.side[1:])}
        large = [
            {"batch": (1, 1, 1), "full_h": rows, "full_w": columns}
            for rows, columns in (tuple(zip(*sizes)) for sizes in FULL_RESOLUTION)
        ]
        ranges = [{**sizes, "low_h": low, "low_w": low} for sizes in (small, *large)]
    else:
        least, usual, most = (side // SIDE_MULTIPLE for side in shapes.side)
        cells = (least, usual, most)
        ranges = [{"batch": shapes.batch, "h": cells, "w": cells, "low_h": low, "low_w": low}]
    return tuple(
        {
            tensor.name: ShapeRange(
                *(tensor.resolve(**{symbol: sizes[place] for symbol, sizes in symbols.items()}) for place in range(3))
            )
            for tensor in spec.inputs
        }
        for symbols in ranges
    )
