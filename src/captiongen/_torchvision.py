"""Lets `import torchvision` work beside a CPU-only build of torch.

Package registries carry torchvision as a CUDA build. Its compiled library does not load beside a CPU build of torch,
and then `import torchvision` (and with it timm, which needs only the transforms) fails with
``operator torchvision::nms does not exist``. Declaring the two operator schemas first is enough: everything written in
Python works, `torchvision.ops.nms` itself does not, and CaptionGen never calls it.

The hook costs nothing until torchvision is imported, and stands aside where the compiled library loads.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

_NMS_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# torch drops a library's registrations when the object dies, so it is kept for the life of the process.
_declared: list[object] = []


class _TorchvisionFinder(importlib.abc.MetaPathFinder):
    """Finds nothing itself: declares the operators when torchvision is about to be imported, then steps aside."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            _declare_missing_operators()
        return None


def _declare_missing_operators() -> None:
    import torch

    spec = importlib.machinery.PathFinder.find_spec("torchvision")
    if spec is None or spec.submodule_search_locations is None or _declared:
        return
    library = importlib.machinery.PathFinder.find_spec("_C", list(spec.submodule_search_locations))
    if library is not None and library.origin is not None:
        try:
            torch.ops.load_library(library.origin)  # type: ignore[no-untyped-call]
        except (OSError, RuntimeError):
            pass  # built for CUDA: the schemas below stand in for it
        else:
            return
    declared = torch.library.Library("torchvision", "DEF")
    for schema in _NMS_SCHEMAS:
        declared.define(schema)
    _declared.append(declared)


def install_import_hook() -> None:
    """Installs the hook once, unless torchvision is already imported."""
    if "torchvision" in sys.modules or any(isinstance(finder, _TorchvisionFinder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _TorchvisionFinder())
