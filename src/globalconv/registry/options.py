"""The options of a class: the keyword arguments of its constructor, and the conversion of values from text."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from globalconv.errors import InputError, unknown_name

KEYWORDS = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def options_of(constructor: Callable[..., object], *, besides: Collection[str]) -> dict[str, Any]:
    """The annotation of every keyword argument by name, except those in ``besides``."""
    parameters = inspect.signature(constructor).parameters.values()
    called: Any = constructor
    try:
        hints = get_type_hints(called.__init__ if inspect.isclass(called) else called)
    except (NameError, TypeError):  # third-party code may name types that exist only for type checkers
        hints = {}
    return {
        parameter.name: hints.get(parameter.name, Any)
        for parameter in parameters
        if parameter.kind in KEYWORDS and parameter.name not in besides
    }


def check_options(owner: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` with text values converted to the annotations in ``known``.

    Raises InputError for an option that ``owner`` does not have, with a suggestion, and for invalid text.
    """
    for option in given:
        if option not in known:
            if not known:
                raise InputError(f"{owner} takes no options, and '{option}' is given.")
            raise unknown_name(f"option of {owner}", option, known)
    return {
        option: _converted(owner, option, value, known[option]) if isinstance(value, str) else value
        for option, value in given.items()
    }


def _converted(owner: str, option: str, text: str, annotation: Any) -> Any:
    """The value of ``text``; without a usable annotation it is a number if it parses as one."""
    if text.lower() == "none" and type(None) in (annotation, *get_args(annotation)):
        return None
    choices = [choice for part in (annotation, *get_args(annotation)) for choice in _choices(part)]
    if choices and text not in choices:
        raise unknown_name(f"value of {owner}'s option {option}:", text, choices)
    if annotation is Any:
        annotation = Annotated[int | float | bool | str, Field(union_mode="left_to_right")]
    try:
        adapter = TypeAdapter(
            annotation, config=ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
        )
        return adapter.validate_python(text)
    except (PydanticUserError, PydanticUndefinedAnnotation):
        return text
    except ValidationError as error:
        raise InputError(
            f"option {option} of {owner} is {_in_words(annotation)}, and '{text}' is not."
        ) from error


def _choices(annotation: Any) -> list[str]:
    return [str(value) for value in get_args(annotation)] if get_origin(annotation) is Literal else []


def _in_words(annotation: Any) -> str:
    kinds = {int: "a whole number", float: "a number", bool: "true or false"}
    named = [kinds[part] for part in (annotation, *get_args(annotation)) if part in kinds]
    return " or ".join(named) or f"a {annotation}"
