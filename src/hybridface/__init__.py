"""Face models trained with hybrid learning: supervised and self-supervised tasks on one backbone.

Names are imported when first used, so that the inference part never loads torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "FaceModel": "hybridface.inference.runtime",
    "FaceReader": "hybridface.inference.photos",
    "HybridFaceError": "hybridface.errors",
    "Recipe": "hybridface.config",
    "build_recipe": "hybridface.config",
    "compare": "hybridface.evaluation.compare",
    "evaluate": "hybridface.evaluation.evaluate",
    "load": "hybridface.inference.runtime",
    "load_recipe": "hybridface.config",
    "train": "hybridface.training.train",
}

if TYPE_CHECKING:
    from hybridface.config import Recipe, build_recipe, load_recipe
    from hybridface.errors import HybridFaceError
    from hybridface.evaluation.compare import compare
    from hybridface.evaluation.evaluate import evaluate
    from hybridface.inference.photos import FaceReader
    from hybridface.inference.runtime import FaceModel, load
    from hybridface.training.train import train

__all__ = [
    "FaceModel",
    "FaceReader",
    "HybridFaceError",
    "Recipe",
    "__version__",
    "build_recipe",
    "compare",
    "evaluate",
    "load",
    "load_recipe",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'hybridface' has no attribute '{name}'")
