"""Mixers by name, also those that live outside this package."""

import hashlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from globalconv.errors import InputError, unknown_name
from globalconv.mixers.attention import Attention
from globalconv.mixers.base import Mixer
from globalconv.mixers.current_folder import import_named
from globalconv.mixers.gated_conv import GatedConv
from globalconv.mixers.global_conv import GlobalConv
from globalconv.mixers.outside import code_of
from globalconv.mixers.token_mlp import TokenMLP

MIXERS: dict[str, type[Mixer]] = {
    "attention": Attention,
    "global_conv": GlobalConv,
    "gated_conv": GatedConv,
    "token_mlp": TokenMLP,
}
LONGEST_IMPORT = 60.0
"""Seconds; a large library of the user's may take some."""


def find_mixer(name: str) -> type[Mixer]:
    """The mixer class called ``name``: one of MIXERS, or ``package.module:Class`` from anywhere.

    Raises InputError for an unknown name (the nearest is suggested), a module that cannot be imported,
    or something in it that is no Mixer to build.
    """
    if ":" not in name:
        if name not in MIXERS:
            raise unknown_name("mixer", name, MIXERS)
        return MIXERS[name]
    module, _, class_name = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), class_name]):
        raise InputError(f"'{name}' is no mixer: write package.module:Class, without a path and without .py.")
    found = getattr(_imported(module, name), class_name, None)
    if found is None:
        raise _not_there(module, class_name)
    if not (inspect.isclass(found) and issubclass(found, Mixer)):
        raise InputError(f"'{name}' is not a subclass of globalconv.mixers.Mixer.")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise InputError(f"'{name}' is not finished: it must define {missing}.")
    return found


def _imported(module: str, name: str) -> ModuleType:
    try:
        with code_of(name, doing="cannot be imported", seconds=LONGEST_IMPORT):
            return import_named(module)
    except InputError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and f"{module}.".startswith(f"{cause.name}."):
            raise InputError(
                f"cannot load the mixer '{name}': there is no module {cause.name}. Write it as package.module:Class, "
                "with the module importable from here (installed, or on PYTHONPATH)."
            ) from error
        raise


def _not_there(module: str, class_name: str) -> InputError:
    known = vars(sys.modules[module]).items()
    own = [name for name, found in known if inspect.isclass(found) and found.__module__ == module]
    if own:
        return unknown_name(f"class of {module}", class_name, own)
    file = getattr(sys.modules[module], "__file__", None) or "part of Python"
    return InputError(
        f"cannot load the mixer '{module}:{class_name}': {module} ({file}) has no {class_name}."
    )


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
    """A mixer by name. ``options``: its own keyword arguments (an unknown one raises InputError).

    What a constructor from outside raises becomes an InputError, with the user's own frames.
    """
    mixer = find_mixer(name)
    own = dict(options or {})
    known = [o for o in inspect.signature(mixer).parameters if o not in ("width", "length", "causal")]
    for option in own:
        if option not in known:
            raise unknown_name(f"option of {name}", option, known)
    if name in MIXERS:
        return mixer(width, length, causal=causal, **own)
    try:
        inspect.signature(mixer).bind(width, length, causal=causal, **own)
    except TypeError as error:
        raise InputError(
            f"'{name}' cannot be built as {mixer.__name__}(width, length, causal={causal}): {error}. Its __init__ "
            "takes (self, width, length, *, causal=False), and defaults for everything else."
        ) from error
    with code_of(name, doing=f"cannot be built with width {width}, length {length}, causal={causal}"):
        return mixer(width, length, causal=causal, **own)
