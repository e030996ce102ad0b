"""The package `intrinsic_flow` of a checkout: it lies in the folders beside this one.

`intrinsic_flow` is `runtime/`; `intrinsic_flow.train`, `.export` and `.benchmarks` are the folders of these names. A wheel
maps the same names (`[tool.setuptools.package-dir]`) and holds no copy of this file.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_SPEC = spec_from_file_location(
    __name__,
    _ROOT / "runtime" / "__init__.py",
    submodule_search_locations=[str(_ROOT / "runtime"), str(_ROOT)],
)
assert _SPEC is not None and _SPEC.loader is not None
# An import gives what stands here when the file has run, so `intrinsic_flow` is the one module that runtime/ defines.
sys.modules[__name__] = module_from_spec(_SPEC)
_SPEC.loader.exec_module(sys.modules[__name__])
