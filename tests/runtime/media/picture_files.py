"""Small files of every format and of the kinds that people have of each, with the light that each holds.

The right value never comes from the reader: pixels are NumPy's, encoded by hand (PNG, BMP, TGA, Radiance, PNM), by Pillow,
tifffile, OpenEXR, OpenCV or OpenImageIO; profiles are LittleCMS's.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import OpenEXR
import tifffile
from PIL import Image, ImageCms

HEIGHT, WIDTH = 24, 36
_Y, _X = np.mgrid[0:HEIGHT, 0:WIDTH]
#: Smooth, colourful, without symmetry.
RGB = np.dstack([255 * _X / (WIDTH - 1), 255 * _Y / (HEIGHT - 1), 60 + 150 * _X * _Y / (HEIGHT * WIDTH)]).astype(np.uint8)
DEEP = (RGB.astype(np.uint16) * 257) ^ np.uint16(77)
ALPHA = np.linspace(1, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
GRAY, GRAY16, OPACITY = RGB[..., 2], DEEP[..., 2], ALPHA / 255
LIGHT = (RGB / 64).astype(np.float32)
HALF = LIGHT.astype(np.float16)
INDEX, TEN = GRAY >> 4, DEEP >> 6
PALETTE = np.random.default_rng(3).integers(0, 256, (256, 3)).astype(np.uint8)
# CIE xy of red, green, blue and white; the matrices are those of their definitions (SMPTE RP 177).
P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)
REC709 = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, 0.3127, 0.3290)
REC2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)


@dataclass(frozen=True)
class PictureFile:
    """write: makes the file. light: (H, W, 3) linear Rec.709. tolerance: of the largest error. alpha: (H, W) in [0, 1].
    note: a part of what the reader says of it; None for a file of which there is nothing to say but its alpha."""

    name: str
    write: Callable[[Path], object]
    light: np.ndarray
    tolerance: float = 1e-6
    alpha: np.ndarray | None = None
    note: str | None = None


def srgb(codes: np.ndarray) -> np.ndarray:
    """Codes -> light by IEC 61966-2-1; (H, W) becomes grey (H, W, 3)."""
    values = codes / np.iinfo(codes.dtype).max
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return gray(light) if codes.ndim == 2 else light


def gray(plane: np.ndarray) -> np.ndarray:
    return np.repeat(plane[..., None], 3, axis=2)


def from_primaries(light: np.ndarray, primaries: tuple[float, ...]) -> np.ndarray:
    """Linear RGB of other primaries of the same white -> Rec.709."""

    def to_xyz(values: tuple[float, ...]) -> np.ndarray:
        x, y = np.array(values).reshape(4, 2).T
        columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
        return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])

    return light @ (np.linalg.inv(to_xyz(REC709)) @ to_xyz(primaries)).T


def turned(plane: np.ndarray, orientation: int) -> np.ndarray:
    """What is stored as it is seen, by EXIF's definition of 1 to 8."""
    return {
        1: plane, 2: plane[:, ::-1], 3: np.rot90(plane, 2), 4: plane[::-1], 5: plane.swapaxes(0, 1),
        6: np.rot90(plane, -1), 7: np.rot90(plane, 2).swapaxes(0, 1), 8: np.rot90(plane),
    }[orientation]  # fmt: skip


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(bits: int, color: int, codes: np.ndarray, *chunks: bytes, after: bytes = b"") -> Callable[[Path], object]:
    """codes: (H, W, ...) unsigned, packed where they have less than 8 bits."""
    if bits < 8:
        planes = np.unpackbits(codes[..., None], axis=2)[..., 8 - bits :].reshape(HEIGHT, -1)
        rows = np.packbits(planes, axis=1)
    else:
        rows = codes.astype(">u2") if bits == 16 else codes
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, color, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", zlib.compress(body)) + after
    return lambda path: path.write_bytes(data + chunk(b"IEND", b""))


def profile(primaries: tuple[float, ...], gamma: float) -> bytes:
    """A minimal ICC profile: the primaries adapted to D50 by Bradford's matrix, and a power (grey without primaries)."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    curve = b"para\0\0\0\0\0\0\0\0" + fixed(gamma)
    tags = {b"kTRC": curve}
    if primaries:
        x, y = np.array(primaries).reshape(4, 2).T
        columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
        bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
        cones = bradford @ np.array([0.96422, 1, 0.82521]) / (bradford @ columns[:, 3])
        adapted = np.linalg.inv(bradford) @ np.diag(cones) @ bradford
        colorants = adapted @ (columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3]))
        tags = {name: b"XYZ \0\0\0\0" + fixed(*colorants[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    tags |= {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.96422, 1, 0.82521), b"desc": b"desc\0\0\0\0\0\0\0\5made\0"}
    table, data, start = b"", b"", 132 + 12 * len(tags)
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, start + len(data), len(tag))
        data += tag + b"\0" * (-len(tag) % 4)
    space = b"RGB " if primaries else b"GRAY"
    head = struct.pack(">I", start + len(data)) + bytes(4) + b"\x02\x40\0\0mntr" + space + b"XYZ "
    return head.ljust(36, b"\0") + b"acsp" + bytes(88) + struct.pack(">I", len(tags)) + table + data


def by_little_cms(codes: np.ndarray, icc: bytes) -> np.ndarray:
    """8-bit codes through LittleCMS to sRGB -> light."""
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
    picture = Image.fromarray(codes)
    converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
    return srgb(np.asarray(converted))


def pillow(codes: np.ndarray, **options: object) -> Callable[[Path], object]:
    mode = "LA" if codes.ndim == 3 and codes.shape[2] == 2 else None
    return lambda path: (Image.frombytes(mode, (WIDTH, HEIGHT), codes.tobytes()) if mode else Image.fromarray(codes)).save(
        path, **options
    )


def tiff(codes: np.ndarray, photometric: str | int = "rgb", **options: object) -> Callable[[Path], object]:
    if codes.ndim == 3 and codes.shape[2] in (2, 4, 5):
        options.setdefault(
            "extrasamples", ["unassalpha", "unspecified"][: codes.shape[2] - (3 if codes.shape[2] > 3 else 1)]
        )
        options.setdefault("planarconfig", "contig")
    return lambda path: tifffile.imwrite(path, codes, photometric=photometric, **options)


def planar(codes: np.ndarray, **options: object) -> Callable[[Path], object]:
    return tiff(np.moveaxis(codes, 2, 0), planarconfig="separate", **options)


def pages(*pictures: tuple[np.ndarray, int]) -> Callable[[Path], None]:
    """A TIFF of several pictures, each with its new-subfile type."""

    def write(path: Path) -> None:
        with tifffile.TiffWriter(path) as file:
            for codes, kind in pictures:
                file.write(codes, photometric="rgb", subfiletype=kind)

    return write


def openimageio(samples: np.ndarray, **attributes: object) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        import OpenImageIO as oiio

        pixels = samples if samples.ndim == 3 else samples[..., None]
        kind = {"float16": "half", "float32": "float"}.get(pixels.dtype.name, pixels.dtype.name)
        spec = oiio.ImageSpec(WIDTH, HEIGHT, pixels.shape[2], kind)
        for name, value in attributes.items():
            spec.attribute(name.replace("__", ":"), value)
        output = oiio.ImageOutput.create(os.fspath(path))
        done = output.open(os.fspath(path), spec) and output.write_image(np.ascontiguousarray(pixels)) and output.close()
        assert done, output.geterror()

    return write


def opencv(pixels: np.ndarray, *options: int) -> Callable[[Path], object]:
    return lambda path: cv2.imwrite(os.fspath(path), np.ascontiguousarray(pixels[..., ::-1]), list(options))


def exr(channels: dict[str, np.ndarray], **header: object) -> Callable[[Path], object]:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    channels = {name: np.ascontiguousarray(plane) for name, plane in channels.items()}
    return lambda path: OpenEXR.File(header, channels).write(os.fspath(path))


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def padded(rows: np.ndarray) -> bytes:
    """Rows from below, each filled up to four bytes."""
    return b"".join(row.tobytes() + bytes(-row.nbytes % 4) for row in rows[::-1])


def bmp(
    bits: int, body: bytes, *, palette: int = 0, compression: int = 0, head: int = 40, masks: bytes = b"", down: int = 1
) -> Callable[[Path], object]:
    header = struct.pack("<IiiHHIIiiII", head, WIDTH, HEIGHT * down, 1, bits, compression, len(body), 0, 0, palette, 0)
    header += masks.ljust(head - 40, b"\0") + b"".join(bytes([*color[::-1], 0]) for color in PALETTE[:palette])
    return data(b"BM" + struct.pack("<IHHI", 14 + len(header) + len(body), 0, 0, 14 + len(header)) + header + body)


def os2_bmp(bits: int, body: bytes, palette: int = 0) -> Callable[[Path], object]:
    """With the 12-byte header of OS/2 1.x."""
    colors = PALETTE[:palette, ::-1].tobytes()
    head = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, bits) + colors
    return data(b"BM" + struct.pack("<IHHI", 14 + len(head) + len(body), 0, 0, 14 + len(head)) + head + body)


def tga(kind: int, bits: int, codes: np.ndarray, descriptor: int = 0, palette: int = 0) -> Callable[[Path], object]:
    colors = PALETTE[:palette, ::-1].tobytes()
    head = struct.pack("<BBBHHBHHHHBB", 0, palette > 0, kind, 0, palette, 24 if palette else 0, 0, 0, WIDTH, HEIGHT, bits,
                       descriptor)  # fmt: skip
    return data(head + colors + codes.tobytes())


def shared_exponents(light: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W, 4) uint8, G. Ward's RGBE."""
    fraction, exponent = np.frexp(light.max(axis=2))
    scale = fraction * 256 / np.maximum(light.max(axis=2), 1e-30)
    return np.dstack([light * scale[..., None], exponent + 128]).astype(np.uint8)


RGBE = shared_exponents(LIGHT)
RGBE_LIGHT = RGBE[..., :3] * 2.0 ** (RGBE[..., 3:].astype(int) - 136)


def radiance(samples: np.ndarray, lines: str = "", axes: str = f"-Y {HEIGHT} +X {WIDTH}", flat: bool = False):
    body = b""
    for row in samples:
        literal = b"".join(bytes([len(row)]) + row[:, channel].tobytes() for channel in range(4))
        body += row.tobytes() if flat else bytes([2, 2, 0, len(row)]) + literal
    return data(f"#?RADIANCE\n{lines}FORMAT=32-bit_rle_rgbe\n\n{axes}\n".encode() + body)


def pnm(magic: str, top: int | str, body: bytes, comment: str = "") -> Callable[[Path], object]:
    return data(f"{magic}\n{comment}{WIDTH} {HEIGHT}\n{f'{top}{chr(10)}' if top != '' else ''}".encode() + body)


def words(codes: np.ndarray) -> bytes:
    return b"\n".join(b" ".join(b"%d" % value for value in row.ravel()) for row in codes) + b"\n"


def rle8(indices: np.ndarray) -> bytes:
    """Runs of one, line ends, and the end."""
    return b"".join(b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in indices[::-1]) + b"\0\1"


def exif(orientation: int) -> bytes:
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0) + bytes(4)


def gif(indices: np.ndarray, **options: object) -> Callable[[Path], object]:
    picture = Image.frombytes("P", (WIDTH, HEIGHT), indices.tobytes())
    picture.putpalette(PALETTE[:16].tobytes())
    if options.pop("animated", False):
        options |= {"save_all": True, "append_images": [picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]}
    return lambda path: picture.save(path, **options)


def psd(mode: int, codes: np.ndarray) -> Callable[[Path], object]:
    planes = codes[None] if codes.ndim == 2 else np.moveaxis(codes, 2, 0)
    head = struct.pack(">HIIHH", len(planes), HEIGHT, WIDTH, 8 * codes.itemsize, mode)
    body = planes.astype(codes.dtype.newbyteorder(">")).tobytes()
    return data(b"8BPS\0\1" + bytes(6) + head + bytes(14) + body)


def _ten_bits(codes: np.ndarray) -> bytes:
    """Three to a word of 32 bits, as films have them."""
    red, green, blue = np.moveaxis(codes.astype(">u4"), 2, 0)
    return (red << 22 | green << 12 | blue << 2).astype(">u4").tobytes()


def dpx(transfer: int, codes: np.ndarray) -> Callable[[Path], object]:
    """10 bits by SMPTE 268M. transfer: its transfer characteristic."""
    head = bytearray(2048)
    struct.pack_into(">II8sIII", head, 0, 0x53445058, 2048, b"V1.0", 2048 + 4 * WIDTH * HEIGHT, 0, 1664)
    struct.pack_into(">HHII", head, 768, 0, 1, WIDTH, HEIGHT)
    struct.pack_into(">IIfIfBBBBHHI", head, 780, 0, 0, 0.0, 1023, 2.046, 50, transfer, transfer, 10, 1, 0, 2048)
    return data(bytes(head) + _ten_bits(codes))


def cineon(codes: np.ndarray) -> Callable[[Path], object]:
    """By Kodak's format 4.5."""
    head = bytearray(2048)
    struct.pack_into(">6I8s", head, 0, 0x802A5FD7, 2048, 1024, 1024, 0, 2048 + 4 * WIDTH * HEIGHT, b"V4.5")
    struct.pack_into(">BB", head, 192, 0, 3)
    for channel in range(3):
        struct.pack_into(">BBBBII4f", head, 196 + 28 * channel, 0, channel + 1, 10, 0, WIDTH, HEIGHT, 0, 0, 1023, 2.046)
    struct.pack_into(">BB", head, 680, 0, 5)
    return data(bytes(head) + _ten_bits(codes))


def dng(codes: np.ndarray) -> Callable[[Path], object]:
    """A Bayer mosaic of 14 bits, its camera neutral at equal values."""
    xyz_to_camera = (3.2405, -1.5371, -0.4985, -0.9693, 1.8760, 0.0416, 0.0556, -0.2040, 1.0572)
    matrix = tuple(number for value in xyz_to_camera for number in (round(value * 10000), 10000))
    tags = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True), (50706, 1, 4, (1, 4, 0, 0), True),
            (50708, 2, 0, "made", True), (50721, 10, 9, matrix, True), (50717, 4, 1, 16383, True),
            (50728, 5, 3, (1, 1, 1, 1, 1, 1), True), (50778, 3, 1, 21, True)]  # fmt: skip
    return lambda path: tifffile.imwrite(path, codes, photometric=32803, extratags=tags)


def heic(codes: np.ndarray, bits: int, *, color: tuple[int, int] = (1, 13), icc: bytes = b"", quarters: int = 0):
    """One lossless HEVC picture of (H, W, 3) codes in the boxes of ISO 23008-12. color: H.273's primaries and transfer.
    quarters: turns to the left."""

    def box(kind: bytes, *parts: bytes, full: int | None = None) -> bytes:
        body = (b"" if full is None else struct.pack(">I", full)) + b"".join(parts)
        return struct.pack(">I", 8 + len(body)) + kind + body

    def write(path: Path) -> None:
        height, width = codes.shape[:2]
        frame = av.VideoFrame(width, height, "gbrp" if bits == 8 else f"gbrp{bits}le")
        frame.colorspace = 0
        for plane, channel in zip(frame.planes, (1, 2, 0)):
            row = np.zeros((height, plane.line_size // codes.itemsize), codes.dtype)
            row[:, :width] = codes[..., channel]
            plane.update(row.tobytes())
        video = io.BytesIO()
        with av.open(video, "w", format="mp4") as container:
            options = {"x265-params": "lossless=1:keyint=1:log-level=none:colormatrix=gbr:range=full"}
            stream = container.add_stream("libx265", rate=1, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, frame.format.name
            for packet in [*stream.encode(frame), *stream.encode()]:
                container.mux(packet)
        start, middle = video.getvalue().index(b"hvcC") - 4, video.getvalue().index(b"mdat") - 4

        def whole(at: int) -> bytes:
            return video.getvalue()[at : at + int.from_bytes(video.getvalue()[at : at + 4], "big")]

        picture = whole(middle)[8:]
        described = [
            whole(start),
            box(b"ispe", struct.pack(">II", width, height), full=0),
            box(b"pixi", bytes([3, bits, bits, bits]), full=0),
            box(b"colr", b"prof" + icc if icc else b"nclx" + struct.pack(">HHHB", *color, 0, 128)),
            *([box(b"irot", bytes([quarters]))] if quarters else []),
        ]
        numbers = bytes([0x81, 2, 3, 4, *([0x85] if quarters else [])])
        brand = b"heic" if bits == 8 else b"heix"
        head = box(b"ftyp", brand + bytes(4) + b"mif1" + brand)

        def meta(offset: int) -> bytes:
            return box(
                b"meta",
                box(b"hdlr", b"\0\0\0\0pict" + bytes(13), full=0),
                box(b"pitm", b"\0\1", full=0),
                box(b"iloc", b"\x44\0\0\1\0\1\0\0\0\1" + struct.pack(">II", offset, len(picture)), full=0),
                box(b"iinf", b"\0\1", box(b"infe", b"\0\1\0\0hvc1\0", full=2 << 24), full=0),
                box(
                    b"iprp",
                    box(b"ipco", *described),
                    box(b"ipma", struct.pack(">IHB", 1, 1, len(numbers)) + numbers, full=0),
                ),
                full=0,
            )

        path.write_bytes(head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", picture))

    return write


def animated(**options: object) -> Callable[[Path], object]:
    second = Image.fromarray(RGB[::-1].copy())
    return lambda path: Image.fromarray(RGB).save(path, save_all=True, append_images=[second], **options)


def _pngs() -> list[PictureFile]:
    rgba, rgba16 = np.dstack([RGB, ALPHA]), np.dstack([DEEP, ALPHA.astype(np.uint16) * 257])
    wide = chunk(b"iCCP", b"p\0\0" + zlib.compress(profile(P3, 2.2)))
    key = RGB[3, 4]
    colors = chunk(b"PLTE", PALETTE[:16].tobytes())

    def gamma(value: int) -> bytes:
        return chunk(b"gAMA", struct.pack(">I", value))

    def coded(*values: int) -> bytes:
        return chunk(b"cICP", bytes(values))

    def cd_per_m2(codes: np.ndarray) -> np.ndarray:
        power = codes.astype(np.float64) ** (32 / 2523)
        return 10000 * (np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)) ** (8192 / 1305)

    return [
        PictureFile("rgb.png", png(8, 2, RGB), srgb(RGB)),
        PictureFile("deep.png", png(16, 2, DEEP), srgb(DEEP)),
        PictureFile("gray.png", png(8, 0, GRAY), srgb(GRAY)),
        PictureFile("gray16.png", png(16, 0, GRAY16), srgb(GRAY16)),
        PictureFile("gray_alpha.png", png(8, 4, np.dstack([GRAY, ALPHA])), srgb(GRAY), alpha=OPACITY),
        PictureFile("gray_alpha16.png", png(16, 4, np.dstack([GRAY16, rgba16[..., 3]])), srgb(GRAY16), alpha=OPACITY),
        PictureFile("rgba.png", png(8, 6, rgba), srgb(RGB), alpha=OPACITY),
        PictureFile("rgba16.png", png(16, 6, rgba16), srgb(DEEP), alpha=OPACITY),
        PictureFile("gray1.png", png(1, 0, GRAY >> 7), srgb((GRAY >> 7) * np.uint8(255))),
        PictureFile("gray2.png", png(2, 0, GRAY >> 6), srgb((GRAY >> 6) * np.uint8(85))),
        PictureFile("gray4.png", png(4, 0, INDEX), srgb(INDEX * np.uint8(17))),
        PictureFile("palette.png", png(4, 3, INDEX, colors), srgb(PALETTE[INDEX])),
        PictureFile("palette_alpha.png", png(4, 3, INDEX, colors, chunk(b"tRNS", bytes(range(0, 160, 16)))),
                    srgb(PALETTE[INDEX]), alpha=np.array([*range(0, 160, 16), *[255] * 6])[INDEX] / 255),
        PictureFile("color_key.png", png(8, 2, RGB, chunk(b"tRNS", struct.pack(">3H", *key))), srgb(RGB),
                    alpha=(key != RGB).any(axis=2).astype(float)),
        PictureFile("linear.png", png(16, 2, DEEP, gamma(100000)), DEEP / 65535, note="linear"),
        PictureFile("gamma_1.8.png", png(8, 2, RGB, gamma(55556)), (RGB / 255) ** 1.8, 1e-4, note="gamma 1.80"),
        PictureFile("gamma_2.2.png", png(8, 2, RGB, gamma(45455)), srgb(RGB)),
        PictureFile("srgb_before_gamma.png", png(8, 2, RGB, gamma(100000), chunk(b"sRGB", b"\0")), srgb(RGB)),
        PictureFile("chrm.png", png(8, 2, RGB, gamma(45455), chunk(b"cHRM", struct.pack(
            ">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))),
            np.maximum(from_primaries(srgb(RGB), P3), 0), 1e-5, note="the file's primaries"),
        PictureFile("cicp_p3.png", png(8, 2, RGB, coded(12, 13, 0, 1)), np.maximum(from_primaries(srgb(RGB), P3), 0), 1e-5,
                    note="smpte432"),
        PictureFile("cicp_before_icc.png", png(8, 2, RGB, coded(1, 8, 0, 1), wide), RGB / 255, note="linear"),
        PictureFile("cicp_pq.png", png(16, 2, DEEP, coded(9, 16, 0, 1)),
                    np.maximum(from_primaries(cd_per_m2(DEEP / 65535) / 203, REC2020), 0), 2e-2, note="smpte2084"),
        PictureFile("cicp_limited.png", png(8, 2, RGB, coded(1, 8, 0, 0)), np.clip((RGB - 16.0) / 219, 0, 1),
                    note="linear"),
        PictureFile("icc_p3.png", png(8, 2, RGB, wide), np.maximum(from_primaries((RGB / 255) ** 2.2, P3), 0), 1e-3,
                    note="made"),
        PictureFile("icc_gray.png", png(8, 0, GRAY, chunk(b"iCCP", b"p\0\0" + zlib.compress(profile((), 1.8)))),
                    gray((GRAY / 255) ** 1.8), 1e-4, note="made"),
        PictureFile("icc_damaged.png", png(8, 2, RGB, chunk(b"iCCP", b"p\0\0" + zlib.compress(b"no profile" * 20))),
                    srgb(RGB), note="damaged colour profile"),
        PictureFile("turned.png", png(8, 2, RGB, chunk(b"eXIf", exif(6))), turned(srgb(RGB), 6)),
        PictureFile("turned_late.png", png(8, 2, RGB, after=chunk(b"eXIf", exif(8))), turned(srgb(RGB), 8)),
        PictureFile("interlaced.png", openimageio(DEEP, png__interlace=1), srgb(DEEP)),
        PictureFile("animated.apng", animated(format="PNG"), srgb(RGB), note="first frame of an animation"),
    ]  # fmt: skip


def _jpegs() -> list[PictureFile]:
    ink = 255 - np.dstack([RGB, np.full_like(GRAY, 255)])
    wide = from_primaries((RGB / 255) ** 2.2, P3)
    files = [
        PictureFile("rgb.jpg", pillow(RGB, quality=98, subsampling=0), srgb(RGB), 0.08),
        PictureFile("gray.jpg", pillow(GRAY, quality=100), srgb(GRAY), 0.03),
        PictureFile("chroma_420.jpeg", pillow(RGB, quality=98, subsampling=2), srgb(RGB), 0.2),
        PictureFile("progressive.jpg", pillow(RGB, quality=98, subsampling=0, progressive=True), srgb(RGB), 0.08),
        PictureFile("restarts.jpg", pillow(RGB, quality=98, subsampling=0, restart_marker_rows=1), srgb(RGB), 0.08),
        PictureFile("no_ycbcr.jpg", pillow(RGB, quality=98, keep_rgb=True), srgb(RGB), 0.05),
        PictureFile("icc_p3.jpg", pillow(RGB, quality=98, subsampling=0, icc_profile=profile(P3, 2.2)),
                    np.maximum(wide, 0), 0.08, note="made"),
        PictureFile("icc_gray.jpg", pillow(GRAY, quality=100, icc_profile=profile((), 1.8)), gray((GRAY / 255) ** 1.8),
                    0.03, note="made"),
        PictureFile("cmyk.jpg", lambda path: Image.fromarray(ink, "CMYK").save(path, quality=98, subsampling=0), srgb(RGB),
                    0.08, note="CMYK"),
    ]  # fmt: skip
    for orientation in (2, 3, 5, 6):
        write = pillow(RGB, quality=98, subsampling=0, exif=b"Exif\0\0" + exif(orientation))
        files.append(PictureFile(f"turned_{orientation}.jpg", write, turned(srgb(RGB), orientation), 0.08))
    return files


def _tiffs() -> list[PictureFile]:
    rgba, rgba16 = np.dstack([RGB, ALPHA]), np.dstack([DEEP, ALPHA.astype(np.uint16) * 257])
    inverted = np.dstack([255 - GRAY, ALPHA])
    multiplied = np.dstack([np.rint(DEEP * OPACITY[..., None]), rgba16[..., 3]]).astype(np.uint16)
    wide16 = np.maximum(from_primaries((DEEP / 65535) ** 2.2, P3), 0)
    return [
        PictureFile("rgb.tif", tiff(RGB), srgb(RGB)),
        PictureFile("deep_be.tif", tiff(DEEP, byteorder=">"), srgb(DEEP)),
        PictureFile("deep_zip.tif", tiff(DEEP, compression="zlib", predictor=True), srgb(DEEP)),
        PictureFile("lzw.tif", pillow(RGB, compression="tiff_lzw"), srgb(RGB)),
        PictureFile("packbits.tif", pillow(RGB, compression="packbits"), srgb(RGB)),
        PictureFile("jpeg.tif", pillow(RGB, compression="jpeg", quality=98), srgb(RGB), 0.2),
        PictureFile("strips_of_one.tif", tiff(DEEP, rowsperstrip=1), srgb(DEEP)),
        PictureFile("tiles.tif", tiff(DEEP, tile=(16, 16)), srgb(DEEP)),
        PictureFile("planar.tif", planar(DEEP), srgb(DEEP)),
        PictureFile("planar_float.tiff", planar(LIGHT, byteorder=">"), LIGHT),
        PictureFile("planar_tiles.tif", planar(LIGHT, tile=(16, 16), compression="zlib"), LIGHT),
        PictureFile("half.tif", tiff(HALF), HALF.astype(np.float32)),
        PictureFile("double.tif", tiff(LIGHT.astype(np.float64)), LIGHT),
        PictureFile("uint32.tif", tiff(DEEP.astype(np.uint32) * 65537), srgb(DEEP), note="32-bit"),
        PictureFile("big.tif", tiff(rgba, bigtiff=True), srgb(RGB), alpha=OPACITY),
        PictureFile("big_icc.tif", planar(DEEP, bigtiff=True, iccprofile=profile(P3, 2.2)), wide16, 1e-3, note="made"),
        PictureFile("icc_float.tif", tiff(LIGHT / 4, iccprofile=profile(P3, 2.2)),
                    from_primaries((LIGHT / 4.0) ** 2.2, P3), 1e-3, note="made"),
        PictureFile("icc_lut.tif", tiff(RGB, iccprofile=_lut_profile()), by_little_cms(RGB, _lut_profile()), note="8 bits"),
        PictureFile("gray_alpha.tif", tiff(np.dstack([GRAY, ALPHA]), "minisblack"), srgb(GRAY), alpha=OPACITY),
        PictureFile("gray_alpha16.tif", tiff(np.dstack([GRAY16, rgba16[..., 3]]), "minisblack"), srgb(GRAY16),
                    alpha=OPACITY),
        PictureFile("white_is_zero.tif", tiff(255 - GRAY, "miniswhite"), srgb(GRAY)),
        PictureFile("white_is_zero16.tif", tiff(65535 - GRAY16, "miniswhite"), srgb(GRAY16)),
        PictureFile("white_is_zero_alpha.tif", tiff(inverted, "miniswhite"), srgb(GRAY), alpha=OPACITY),
        PictureFile("multiplied.tif", tiff(multiplied, extrasamples=["assocalpha"]), srgb(DEEP), 0.2, OPACITY, "divided"),
        PictureFile("unstated_alpha.tif", tiff(rgba16, extrasamples=["unspecified"]), srgb(DEEP), alpha=OPACITY),
        PictureFile("five_channels.tif", tiff(np.dstack([rgba, ALPHA])), srgb(RGB), alpha=OPACITY,
                    note="1 further channel"),
        PictureFile("palette.tif", tiff(GRAY, "palette", colormap=PALETTE.T.astype(np.uint16) * 257), srgb(PALETTE[GRAY])),
        PictureFile("bilevel.tif", tiff(GRAY > 127, "minisblack"), gray((GRAY > 127).astype(float))),
        PictureFile("fax.tif", lambda path: Image.fromarray(GRAY > 127).save(path, compression="group4"),
                    gray((GRAY > 127).astype(float))),
        PictureFile("cmyk.tif", tiff(255 - np.dstack([RGB, np.full_like(GRAY, 255)]), "separated", extrasamples=[]),
                    srgb(RGB), note="CMYK"),
        PictureFile("pages.tif", pages((RGB, 2), (RGB[::-1], 2)), srgb(RGB), note="first of 2 pages"),
        PictureFile("thumbnail_first.tif", pages((RGB[::4, ::4], 1), (RGB, 0)), srgb(RGB)),
        PictureFile("logluv.tif", opencv(LIGHT, cv2.IMWRITE_TIFF_COMPRESSION, 34676), LIGHT, 0.1),
        *(PictureFile(f"turned_{number}.tif", tiff(DEEP, extratags=[(274, 3, 1, number, True)]), turned(srgb(DEEP), number))
          for number in (2, 4, 6, 7)),
        PictureFile("turned_float.tif", tiff(LIGHT, extratags=[(274, 3, 1, 8, True)]), turned(LIGHT, 8)),
    ]  # fmt: skip


def _lut_profile() -> bytes:
    """A device of three channels whose lookup table (lut8Type) takes red, green, blue for green, blue, red, in Lab."""
    source, target = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(source, target, "RGB", "LAB")
    grid = np.array([[r, g, b] for r in range(9) for g in range(9) for b in range(9)], np.float64) * 255 / 8
    mixed = np.rint(grid[:, [1, 2, 0]]).astype(np.uint8)[None]
    lab = np.asarray(ImageCms.applyTransform(Image.fromarray(mixed), transform))[0].astype(int)
    lab[:, 1:] = (lab[:, 1:] + 128) % 256
    ramp = bytes(range(256)) * 3
    table = b"mft1\0\0\0\0\3\3\x09\0" + struct.pack(">9i", *(65536 * i for i in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table += ramp + lab.astype(np.uint8).tobytes() + ramp
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"A2B0": table, b"wtpt": white, b"desc": b"desc\0\0\0\0\0\0\0\4lut\0"}
    index, body, start = b"", b"", 132 + 12 * len(tags)
    for name, tag in tags.items():
        index += struct.pack(">4sII", name, start + len(body), len(tag))
        body += tag + b"\0" * (-len(tag) % 4)
    head = struct.pack(">I", start + len(body)) + bytes(4) + b"\x02\x40\0\0scnrRGB Lab "
    return head.ljust(36, b"\0") + b"acsp" + bytes(28) + white[8:] + bytes(48) + struct.pack(">I", len(tags)) + index + body


def _bitmaps() -> list[PictureFile]:
    bgr = RGB[..., ::-1]
    bgrx, bgra = np.dstack([bgr, np.zeros_like(ALPHA)]), np.dstack([bgr, ALPHA])
    rgba = np.dstack([RGB, ALPHA])
    fives = (RGB >> 3).astype(np.uint16)
    bits = (fives[..., 0] << 10) | (fives[..., 1] << 5) | fives[..., 2]
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    swapped = struct.pack("<4I", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    nibbles = (INDEX[:, ::2] << 4) | INDEX[:, 1::2]
    return [
        PictureFile("rgb.bmp", bmp(24, padded(bgr)), srgb(RGB)),
        PictureFile("from_above.bmp", bmp(24, padded(bgr[::-1]), down=-1), srgb(RGB)),
        PictureFile("no_alpha.bmp", bmp(32, padded(bgrx)), srgb(RGB)),
        PictureFile("alpha.bmp", bmp(32, padded(bgra), compression=3, head=124, masks=masks), srgb(RGB), alpha=OPACITY),
        PictureFile("swapped.bmp", bmp(32, padded(rgba), compression=3, head=108, masks=swapped), srgb(RGB), alpha=OPACITY),
        PictureFile("555.bmp", bmp(16, padded(bits)), srgb(((fives * 255 + 15) // 31).astype(np.uint8)), 0.01),
        PictureFile("palette.bmp", bmp(8, padded(GRAY), palette=256), srgb(PALETTE[GRAY])),
        PictureFile("palette4.bmp", bmp(4, padded(nibbles), palette=16), srgb(PALETTE[INDEX])),
        PictureFile("runs.bmp", bmp(8, rle8(GRAY), palette=256, compression=1), srgb(PALETTE[GRAY])),
        PictureFile("os2.bmp", os2_bmp(24, padded(bgr)), srgb(RGB)),
        PictureFile("os2_palette.bmp", os2_bmp(8, padded(GRAY), 256), srgb(PALETTE[GRAY])),
        PictureFile("os2_v2.dib", bmp(24, padded(bgr), head=64), srgb(RGB)),
        PictureFile("rgb.tga", tga(2, 24, bgr[::-1]), srgb(RGB)),
        PictureFile("from_above.tga", tga(2, 24, bgr, 0x20), srgb(RGB)),
        PictureFile("from_right.tga", tga(2, 24, bgr[::-1, ::-1], 0x10), srgb(RGB)),
        PictureFile("alpha.tga", tga(2, 32, bgra[::-1], 8), srgb(RGB), alpha=OPACITY),
        PictureFile("no_alpha.tga", tga(2, 32, bgrx[::-1]), srgb(RGB)),
        PictureFile("palette.tga", tga(1, 8, GRAY[::-1], palette=256), srgb(PALETTE[GRAY])),
        PictureFile("runs.tga", pillow(RGB, compression="tga_rle"), srgb(RGB)),
        PictureFile("rgb.sgi", pillow(RGB), srgb(RGB)),
        PictureFile("deep.sgi", openimageio(DEEP), srgb(DEEP)),
        PictureFile("gray.bw", pillow(GRAY, format="SGI"), srgb(GRAY)),
        PictureFile("icon.ico", lambda path: Image.fromarray(rgba[:, :24].copy()).save(path, sizes=[(16, 16), (24, 24)]),
                    srgb(RGB[:, :24]), alpha=OPACITY[:, :24], note="largest of 2"),
        PictureFile("palette.gif", gif(INDEX), srgb(PALETTE[INDEX])),
        PictureFile("transparent.gif", gif(INDEX, transparency=5), srgb(PALETTE[INDEX]), alpha=(INDEX != 5).astype(float)),
        PictureFile("animated.gif", gif(INDEX, animated=True), srgb(PALETTE[INDEX]), note="first frame"),
    ]  # fmt: skip


def _modern() -> list[PictureFile]:
    rgba = np.dstack([RGB, ALPHA])
    ten = np.kron(RGB, np.ones((4, 4, 1), np.uint16)).astype(np.uint16) * 4 + 3
    large = (ten >> 2).astype(np.uint8)
    ten_light = np.where(ten / 1023 <= 0.04045, ten / 1023 / 12.92, ((ten / 1023 + 0.055) / 1.055) ** 2.4)
    p3 = np.maximum(from_primaries((RGB / 255) ** 2.2, P3), 0)
    best = {"compression": "jpegxl:100"}
    turn = b"Exif\0\0" + exif(6)
    return [
        PictureFile("lossless.webp", pillow(RGB, lossless=True), srgb(RGB)),
        PictureFile("alpha.webp", pillow(rgba, lossless=True, exact=True), srgb(RGB), alpha=OPACITY),
        PictureFile("lossy.webp", pillow(RGB, quality=100), srgb(RGB), 0.2),
        PictureFile("icc.webp", pillow(RGB, lossless=True, icc_profile=profile(P3, 2.2)), p3, 1e-3, note="made"),
        PictureFile("turned.webp", pillow(RGB, lossless=True, exif=turn), turned(srgb(RGB), 6)),
        PictureFile("animated.webp", animated(lossless=True), srgb(RGB), note="first frame"),
        PictureFile("rgb.jp2", pillow(RGB, irreversible=False), srgb(RGB)),
        PictureFile("alpha.jp2", pillow(rgba, irreversible=False), srgb(RGB), alpha=OPACITY),
        PictureFile("gray16.jp2", pillow(GRAY16, irreversible=False), srgb(GRAY16)),
        PictureFile("tiles.j2k", pillow(RGB, irreversible=False, no_jp2=True, tile_size=(16, 16)), srgb(RGB)),
        PictureFile("rgb.jxl", openimageio(RGB, **best), srgb(RGB)),
        PictureFile("deep.jxl", openimageio(DEEP, **best), srgb(DEEP)),
        PictureFile("alpha.jxl", openimageio(rgba, oiio__UnassociatedAlpha=1, **best), srgb(RGB), 1e-6, OPACITY),
        PictureFile("rgb.avif", pillow(RGB, quality=100, subsampling="4:4:4"), srgb(RGB), 0.06),
        PictureFile("alpha.avif", pillow(rgba, quality=100, subsampling="4:4:4"), srgb(RGB), 0.06, OPACITY),
        PictureFile("icc.avif", pillow(RGB, quality=100, subsampling="4:4:4", icc_profile=profile(P3, 2.2)), p3, 0.08,
                    note="made"),
        PictureFile("photo.heic", heic(large, 8), srgb(large)),
        PictureFile("turned.heic", heic(large, 8, quarters=1), np.rot90(srgb(large))),
        PictureFile("ten_bits.heif", heic(ten, 10), ten_light, 1e-4),
        PictureFile("p3.heic", heic(large, 8, color=(12, 13)), np.maximum(from_primaries(srgb(large), P3), 0), 1e-5,
                    note="smpte432"),
        PictureFile("icc.heic", heic(large, 8, icc=profile(P3, 2.2)),
                    np.maximum(from_primaries((large / 255) ** 2.2, P3), 0), 1e-3, note="made"),
        PictureFile("turned.avif", pillow(RGB, quality=100, subsampling="4:4:4", exif=turn), turned(srgb(RGB), 6), 0.06),
    ]  # fmt: skip


def _light() -> list[PictureFile]:
    columns = RGBE.swapaxes(0, 1)
    wide = "PRIMARIES=.708 .292 .170 .797 .131 .046 .3127 .3290\n"
    bits = GRAY > 127
    half = HALF.astype(np.float32)
    # Kodak, "Conversion of 10-bit Log Film Data": 0.002 density a code, gamma 0.6, white 685, black 95.
    black, codes = 10 ** ((95 - 685) * 0.002 / 0.6), 10.0 ** ((TEN.astype(float) - 685) * 0.002 / 0.6)
    film = (codes - black) / (1 - black)
    ramp = np.repeat(np.linspace(100, 16000, WIDTH)[None], HEIGHT, axis=0).astype(np.uint16)
    layers = {f"other.{name}": HALF[..., 0] for name in "RGB"}
    layers |= {f"beauty.{name}": HALF[..., number] for number, name in enumerate("RGB")}
    return [
        PictureFile("runs.hdr", radiance(RGBE), RGBE_LIGHT, 0.02),
        PictureFile("flat.rgbe", radiance(RGBE, flat=True), RGBE_LIGHT, 0.02),
        PictureFile("exposure.hdr", radiance(RGBE, "EXPOSURE=2\nEXPOSURE= 4.0\n"), RGBE_LIGHT / 8, 0.003, note="exposure"),
        PictureFile("primaries.hdr", radiance(RGBE, wide), from_primaries(RGBE_LIGHT, REC2020), 0.04),
        *(PictureFile(f"axes{axes[0]}Y{axes[1]}X.hdr", radiance(samples, axes=f"{axes[0]}Y 24 {axes[1]}X 36"), RGBE_LIGHT,
                      0.02) for axes, samples in (("+-", RGBE[::-1, ::-1]), ("--", RGBE[:, ::-1]))),
        *(PictureFile(f"axes{axes[0]}X{axes[1]}Y.hdr", radiance(samples, axes=f"{axes[0]}X 36 {axes[1]}Y 24"), RGBE_LIGHT,
                      0.02) for axes, samples in (("+-", columns), ("--", columns[::-1]), ("-+", columns[::-1, ::-1]),
                                                  ("++", columns[:, ::-1]))),
        PictureFile("light.pfm", pnm("PF", "-1.0", LIGHT[::-1].tobytes()), LIGHT),
        PictureFile("big_endian.pfm", pnm("PF", "1.0", LIGHT[::-1].astype(">f4").tobytes()), LIGHT),
        PictureFile("gray.pfm", pnm("Pf", "-1.0", LIGHT[::-1, :, 0].tobytes()), gray(LIGHT[..., 0])),
        PictureFile("rgb.ppm", pnm("P6", 255, RGB.tobytes(), "# a comment\n"), srgb(RGB)),
        PictureFile("deep.ppm", pnm("P6", 65535, DEEP.astype(">u2").tobytes()), srgb(DEEP)),
        PictureFile("words.ppm", pnm("P3", 255, words(RGB)), srgb(RGB)),
        PictureFile("gray12.pgm", pnm("P5", 4095, (GRAY16 >> 4).astype(">u2").tobytes()),
                    srgb(np.rint((GRAY16 >> 4) * (65535 / 4095)).astype(np.uint16)), 1e-4),
        PictureFile("bits.pbm", pnm("P4", "", np.packbits(~bits, axis=1).tobytes()), gray(bits.astype(float))),
        PictureFile("no_spaces.pbm", pnm("P1", "", words(~bits).replace(b" ", b"")), gray(bits.astype(float))),
        PictureFile("light.npy", lambda path: np.save(path, LIGHT), LIGHT),
        PictureFile("half.npy", lambda path: np.save(path, HALF), half),
        PictureFile("deep_be.npy", lambda path: np.save(path, DEEP.astype(">u2")), srgb(DEEP)),
        PictureFile("gray.npy", lambda path: np.save(path, GRAY), srgb(GRAY)),
        PictureFile("fortran.npy", lambda path: np.save(path, np.asfortranarray(LIGHT)), LIGHT),
        PictureFile("code.dpx", openimageio(DEEP), srgb(DEEP)),
        PictureFile("linear.dpx", dpx(2, TEN), TEN / 1023, 1e-4, note="linear"),
        PictureFile("density.dpx", dpx(1, TEN), np.maximum(film, 0), 1e-3, note="density"),
        PictureFile("film.cin", cineon(TEN), np.maximum(film, 0), 1e-3, note="density"),
        PictureFile("rgb.psd", psd(3, RGB), srgb(RGB)),
        PictureFile("deep.psd", psd(3, DEEP), srgb(DEEP)),
        PictureFile("gray.psd", psd(1, GRAY), srgb(GRAY)),
        PictureFile("cmyk.psd", psd(4, np.dstack([RGB, np.full_like(GRAY, 255)])), srgb(RGB), note="CMYK"),
        PictureFile("mosaic.dng", dng(ramp), gray(ramp / 16383), 0.03, note="white balance"),
        *(PictureFile(f"{name.lower()}.exr", exr({"RGB": HALF}, compression=getattr(OpenEXR, f"{name}_COMPRESSION")), half)
          for name in ("NO", "RLE", "ZIPS", "ZIP", "PIZ")),
        PictureFile("dwaa.exr", exr({"RGB": HALF}, compression=OpenEXR.DWAA_COMPRESSION), half, 0.1),
        PictureFile("float.exr", exr({"RGB": LIGHT}), LIGHT),
        PictureFile("mixed.exr", exr({"R": LIGHT[..., 0], "G": HALF[..., 1], "B": HALF[..., 2]}),
                    np.dstack([LIGHT[..., :1], half[..., 1:]])),
        PictureFile("luminance.exr", exr({"Y": HALF[..., 0], "A": OPACITY.astype(np.float16)}), gray(half[..., 0]),
                    alpha=OPACITY),
        PictureFile("layers.exr", exr(layers), half, note="layer beauty read"),
        PictureFile("p3.exr", exr({"RGB": LIGHT}, chromaticities=P3), from_primaries(LIGHT, P3), 1e-5,
                    note="chromaticities"),
    ]  # fmt: skip


def picture_files() -> list[PictureFile]:
    """All of them, their names unlike."""
    return [*_pngs(), *_jpegs(), *_tiffs(), *_bitmaps(), *_modern(), *_light()]
