"""Libraries that only some tasks need, imported when one of those is built."""

from importlib import import_module
from typing import Any

from globalconv.errors import InputError


def translation_library(name: str) -> Any:
    """The module ``name`` of the extra "translation"; InputError, with the way to install it, where it is not."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"translation needs {name}, which is not installed: pip install 'globalconv[translation]'."
        ) from error
