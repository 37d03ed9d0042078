"""Mixers by name, also those that live outside this package."""

import hashlib
import inspect
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from globalconv.errors import InputError, unknown_name
from globalconv.mixers.attention import Attention
from globalconv.mixers.base import Mixer
from globalconv.mixers.gated_conv import GatedConv
from globalconv.mixers.global_conv import GlobalConv
from globalconv.mixers.token_mlp import TokenMLP

MIXERS: dict[str, type[Mixer]] = {
    "attention": Attention,
    "global_conv": GlobalConv,
    "gated_conv": GatedConv,
    "token_mlp": TokenMLP,
}


def find_mixer(name: str) -> type[Mixer]:
    """The mixer class called ``name``: one of MIXERS, or ``package.module:Class`` from anywhere.

    Raises InputError for an unknown name (the nearest is suggested), a module that cannot be imported,
    or something in it that is no Mixer to build.
    """
    if ":" not in name:
        if name not in MIXERS:
            raise unknown_name("mixer", name, MIXERS)
        return MIXERS[name]
    module_name, _, class_name = name.partition(":")
    try:
        found = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(
            f"cannot load the mixer '{name}': {error}. Write it as package.module:Class, with the module "
            "importable from here (installed, or on PYTHONPATH)."
        ) from error
    if not (inspect.isclass(found) and issubclass(found, Mixer)):
        raise InputError(f"'{name}' is not a subclass of globalconv.mixers.Mixer.")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise InputError(f"'{name}' is not finished: it must define {missing}.")
    return found


def outside_source(name: str) -> str | None:
    """Hash of the file that a mixer from outside is written in; None for one of MIXERS.

    Two trainings of one name are the same only if the code is. What the file imports is not looked at.
    Raises InputError as ``find_mixer``, and for a class that no file holds.
    """
    if name in MIXERS:
        return None
    file = getattr(sys.modules[find_mixer(name).__module__], "__file__", None)
    if file is None:
        raise InputError(
            f"the mixer '{name}' is not in a file, which other processes could read; put it in one."
        )
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]


def build_mixer(
    name: str, width: int, length: int, *, causal: bool, options: Mapping[str, Any] | None = None
) -> Mixer:
    """A mixer by name. ``options``: its own keyword arguments (an unknown one raises InputError)."""
    mixer = find_mixer(name)
    known = [o for o in inspect.signature(mixer).parameters if o not in ("width", "length", "causal")]
    for option in options or {}:
        if option not in known:
            raise unknown_name(f"option of {name}", option, known)
    return mixer(width, length, causal=causal, **(options or {}))
