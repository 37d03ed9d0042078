"""globalconv: can a global depthwise convolution replace self-attention, where, and at what cost?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from globalconv.version import __version__ as __version__

if TYPE_CHECKING:
    from globalconv.api.bench import bench
    from globalconv.api.compare import compare, open_study
    from globalconv.api.cost import cost
    from globalconv.api.probe import probe
    from globalconv.inference.prediction import predict
    from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer, TokenMLP
    from globalconv.models import Classifier, LanguageModel
    from globalconv.ops import global_conv, lengths_from_mask

__all__ = [
    "Attention",
    "Classifier",
    "GatedConv",
    "GlobalConv",
    "LanguageModel",
    "Mixer",
    "TokenMLP",
    "bench",
    "compare",
    "cost",
    "global_conv",
    "lengths_from_mask",
    "open_study",
    "predict",
    "probe",
]

_HOMES = {
    "global_conv": "ops",
    "lengths_from_mask": "ops",
    "Classifier": "models",
    "LanguageModel": "models",
    "predict": "inference.prediction",
    "bench": "api.bench",
    "compare": "api.compare",
    "cost": "api.cost",
    "open_study": "api.compare",
    "probe": "api.probe",
}


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used: the command line must answer before torch has loaded."""
    if name not in __all__:
        raise AttributeError(f"module 'globalconv' has no attribute '{name}'")
    return getattr(import_module(f"globalconv.{_HOMES.get(name, 'mixers')}"), name)
