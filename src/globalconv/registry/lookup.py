"""Classes by name: those of the package, and others as ``package.module:Class``."""

import hashlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from globalconv.errors import InputError, unknown_name
from globalconv.registry.current_folder import import_named
from globalconv.registry.outside import code_of
from globalconv.registry.spelling import spelled

LONGEST_IMPORT = 60.0
"""The time limit of an import in seconds; a large library may take a while."""

T = TypeVar("T")


class Registry(Generic[T]):
    """The ``members`` of a family by name, and third-party members, which are subclasses of ``base``.

    ``base`` is an abstract class, which a type annotation cannot express. ``call`` is the signature of the constructor
    for error messages: "width, length, *, causal=False".
    """

    def __init__(self, kind: str, base: Any, members: Mapping[str, type[T]], *, call: str) -> None:
        self.kind = kind
        self.base: type[T] = base
        self.members = members
        self.call = call

    def find(self, text: str) -> type[T]:
        """The class that ``text`` names; options after the name are ignored.

        Raises InputError for an unknown name (the nearest is suggested), a module that cannot be imported, or
        an object in it that is not a concrete class of the family.
        """
        name = spelled(text).name
        if ":" not in name:
            if name not in self.members:
                raise unknown_name(self.kind, name, self.members)
            return self.members[name]
        module, _, class_name = name.partition(":")
        if not all(part.isidentifier() for part in [*module.split("."), class_name]):
            raise InputError(
                f"'{name}' is no {self.kind}: write package.module:Class, without a path and without .py."
            )
        found = getattr(self._imported(module, name), class_name, None)
        if found is None:
            raise self._not_there(module, class_name)
        if not (inspect.isclass(found) and issubclass(found, self.base)):
            raise InputError(
                f"'{name}' is not a subclass of {self.base.__module__.rpartition('.')[0]}.{self.base.__name__}."
            )
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        if missing:
            raise InputError(f"'{name}' is not finished: it must define {missing}.")
        return found

    def is_outside(self, text: str) -> bool:
        """Whether ``text`` names a class from outside the package."""
        return spelled(text).name not in self.members

    def source_of(self, text: str) -> str | None:
        """The hash of the file that defines a third-party class; None for a class of this package.

        Two runs of the same name are equal only if the code is. Imports of the file are not included.
        Raises InputError like ``find``, and for a class that is not in a file.
        """
        if not self.is_outside(text):
            return None
        file = getattr(sys.modules[self.find(text).__module__], "__file__", None)
        if file is None:
            raise InputError(
                f"the {self.kind} '{text}' is not in a file, which other processes could read; put it in one."
            )
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]

    def build(self, text: str, *sizes: int, options: Mapping[str, Any]) -> T:
        """The class that ``text`` names, called with ``sizes`` and checked ``options``.

        An exception of a third-party constructor becomes an InputError with the user's frames.
        """
        found = self.find(text)
        name = spelled(text).name
        shown = ", ".join([*map(str, sizes), *(f"{option}={value!r}" for option, value in options.items())])
        if not self.is_outside(text):
            try:
                return found(*sizes, **options)
            except (RuntimeError, TypeError, MemoryError) as error:
                reason = _too_large(error)
                if reason is None:
                    raise
                raise InputError(f"{name} is too large as {found.__name__}({shown}): {reason}") from error
        try:
            inspect.signature(found).bind(*sizes, **options)
        except TypeError as error:
            raise InputError(
                f"'{name}' cannot be built as {found.__name__}({shown}): {error}. Its __init__ takes "
                f"(self, {self.call}), and defaults for everything else."
            ) from error
        with code_of(name, doing=f"cannot be built as {found.__name__}({shown})"):
            return found(*sizes, **options)

    def _imported(self, module: str, name: str) -> ModuleType:
        try:
            with code_of(name, doing="cannot be imported", seconds=LONGEST_IMPORT):
                return import_named(module)
        except InputError as error:
            cause = error.__cause__
            if isinstance(cause, ModuleNotFoundError) and f"{module}.".startswith(f"{cause.name}."):
                raise InputError(
                    f"cannot load the {self.kind} '{name}': there is no module {cause.name}. Write it as "
                    "package.module:Class, with the module importable from here (installed, or on PYTHONPATH)."
                ) from error
            raise

    def _not_there(self, module: str, class_name: str) -> InputError:
        known = vars(sys.modules[module]).items()
        own = [name for name, found in known if inspect.isclass(found) and found.__module__ == module]
        if own:
            return unknown_name(f"class of {module}", class_name, own)
        file = getattr(sys.modules[module], "__file__", None) or "part of Python"
        return InputError(
            f"cannot load the {self.kind} '{module}:{class_name}': {module} ({file}) has no {class_name}."
        )


def _too_large(error: Exception) -> str | None:
    """What PyTorch says where a size is beyond the memory, or beyond its whole numbers; None of any other error."""
    first = str(error).partition("\n")[0]
    known = ("memory", "overflow")
    return first if isinstance(error, MemoryError) or any(word in first.lower() for word in known) else None
