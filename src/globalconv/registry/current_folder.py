"""Imports from the current folder, only of modules that the user names.

This does not use sys.path: a file in the folder that has the name of an optional library or of a standard module
would be executed by any import of that name.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType


def import_named(module: str) -> ModuleType:
    """The module that the user named, installed or in the current folder; it may import modules beside it.

    Raises whatever the import raises.
    """
    if module not in sys.modules:
        importlib.invalidate_caches()
        _finder().named.add((module.partition(".")[0], str(Path.cwd())))
    return importlib.import_module(module)


class _CurrentFolder(MetaPathFinder):
    """The last finder, so that no file in the folder hides a library."""

    def __init__(self) -> None:
        self.named: set[tuple[str, str]] = set()
        """(top-level name, folder) of the modules that the user named."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None:  # within a package, which is found already
            return None
        importer = _importer(sys._getframe(1))
        folders = {
            folder
            for name, folder in self.named
            if name == fullname or (importer is not None and importer.is_relative_to(folder))
        }
        return PathFinder.find_spec(fullname, sorted(folders)) if folders else None


def _importer(frame: FrameType | None) -> Path | None:
    """The file of the importing code; None for installed code, since the folder may contain an environment."""
    while frame is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is None or not Path(frame.f_code.co_filename).is_absolute():
        return None
    file = Path(frame.f_code.co_filename)
    return None if any(file.is_relative_to(place) for place in sys.path if place) else file


def _finder() -> _CurrentFolder:
    for finder in sys.meta_path:
        if isinstance(finder, _CurrentFolder):
            return finder
    sys.meta_path.append(made := _CurrentFolder())
    return made
