"""Which CUDA GPU this machine has, asked of the driver itself: no TensorRT, no CUDA toolkit and no package needed.

TensorRT's runtime object crashes the process where there is no GPU, so this has to be known before one is made.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
# https://docs.nvidia.com/cuda/cuda-driver-api, CUresult: those that somebody can act on.
_REASONS = {
    3: "the CUDA driver is shutting down",
    34: "the CUDA driver is a stub library",
    100: "the driver finds no CUDA device",
    101: "no such CUDA device",
    802: "the system is not ready for CUDA yet",
    803: "the kernel module and libcuda are of different driver versions",
    804: "the driver does not run forward-compatible CUDA on this GPU",
    999: "the driver fails with an unknown error",
}


@dataclass(frozen=True)
class Gpu:
    """A CUDA device.

    compute_capability: major * 10 + minor, e.g. 86, 90, 120. driver: the newest CUDA version that the driver runs, e.g.
    (13, 0). memory: bytes in all. index: among the devices that CUDA_VISIBLE_DEVICES leaves.
    """

    name: str
    compute_capability: int
    driver: tuple[int, int]
    memory: int
    index: int = 0


def find_gpu(index: int = 0) -> Gpu | None:
    """The CUDA device of this number, or None. Never raises; `why_no_gpu` has the reason."""
    found = _probe(index)
    return found if isinstance(found, Gpu) else None


def why_no_gpu(index: int = 0) -> str:
    """Why `find_gpu` finds none, in a few words; empty where it finds one."""
    found = _probe(index)
    return found if isinstance(found, str) else ""


def _probe(index: int) -> Gpu | str:
    try:
        cuda = ctypes.CDLL(_DRIVER)
    except OSError:
        return f"no NVIDIA driver ({_DRIVER} is not there)"
    number, memory, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
    device = ctypes.c_int()

    def attribute(which: int) -> int:
        _check(cuda.cuDeviceGetAttribute(ctypes.byref(number), which, device))
        return number.value

    try:
        _check(cuda.cuInit(0))
        _check(cuda.cuDriverGetVersion(ctypes.byref(number)))
        version = number.value
        _check(cuda.cuDeviceGet(ctypes.byref(device), index))
        _check(cuda.cuDeviceGetName(name, len(name), device))
        _check(cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device))
        capability = attribute(_COMPUTE_CAPABILITY_MAJOR) * 10 + attribute(_COMPUTE_CAPABILITY_MINOR)
    except _DriverError as error:
        return str(error)
    except AttributeError as error:
        return f"{_DRIVER} is no CUDA driver ({error})"
    driver = (version // 1000, version % 1000 // 10)
    return Gpu(name.value.decode(errors="replace"), capability, driver, memory.value, index)


class _DriverError(Exception):
    pass


def _check(code: int) -> None:
    """Raises on a CUresult other than CUDA_SUCCESS."""
    if code:
        raise _DriverError(_REASONS.get(code, f"the CUDA driver answers with error {code}"))
