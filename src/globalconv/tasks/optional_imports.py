"""Libraries that only some tasks need, imported when such a task is built."""

from importlib import import_module
from typing import Any

from globalconv.errors import InputError


def translation_library(name: str) -> Any:
    """The module ``name`` of the extra "translation". Raises InputError, with the command to install it, if missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"translation needs {name}, which is not installed. Run pip install 'globalconv[translation]'."
        ) from error
