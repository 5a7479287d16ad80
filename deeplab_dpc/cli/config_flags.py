"""Flags of absl for the fields of configurations, with their defaults and meanings, and for lists of numbers."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from absl import flags

from deeplab_dpc import own_parts
from deeplab_dpc.cli.flag_mistakes import NUMBERS, SIZE, WHOLE_NUMBERS, must_be
from deeplab_dpc.config import Config
from deeplab_dpc.config.model import MODEL_VARIANTS
from deeplab_dpc.errors import UserError


class _Named(flags.ArgumentParser[str]):
    """A parser that provides the values of an enumeration for the help; the configuration checks values, with its own
    error message.
    """

    def __init__(self, enum_values: tuple[str, ...]):
        super().__init__()
        self.enum_values = enum_values


def define_config_flags(
    values: flags.FlagValues, config: type[Config], only: Sequence[str] = (), variants: Sequence[str] = ()
) -> None:
    """Defines a flag for each plain field of a configuration class, with its default and its documented meaning.

    Args:
      values: flags to which they are added.
      config: class of the configuration.
      only: names of the fields to define; all if it is empty.
      variants: names of the fields that hold a backbone.
    """
    meanings = _naming_flags(attribute_docs(config.__doc__))
    choices = {**config.choices(), **dict.fromkeys(variants, (*MODEL_VARIANTS, *own_parts.names(own_parts.BACKBONES)))}
    hints = typing.get_type_hints(config)
    kinds: dict[Any, Callable[..., Any]] = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        int | None: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        tuple[str, ...]: flags.DEFINE_list,
    }
    for field in dataclasses.fields(config):
        if only and field.name not in only:
            continue
        if _number_of(hints[field.name]):
            define_numbers(
                values, field.name, meanings.get(field.name, ""), typing.cast(tuple[float, ...], field.default)
            )
        elif field.name in choices:
            named = _Named(tuple(choices[field.name]))
            meaning = meanings.get(field.name, "")
            flags.DEFINE(named, field.name, field.default, meaning, values, flags.ArgumentSerializer())
        else:
            define = kinds.get(hints[field.name], flags.DEFINE_string)
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            define(field.name, default, meanings.get(field.name, ""), flag_values=values)


def _naming_flags(meanings: dict[str, str]) -> dict[str, str]:
    """Returns the texts with the names of fields written as flags (--proxy_steps)."""
    named = re.compile(rf"(?<![\w-])(?=(?:{'|'.join(name for name in meanings if '_' in name) or 'a^'})\b)")
    return {name: named.sub("--", text) for name, text in meanings.items()}


def _number_of(hint: Any) -> Callable[[str], Any] | None:
    """Returns the type of the items of a list of numbers (int or float); None for any other field."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    items = {item for option in options if typing.get_origin(option) is tuple for item in typing.get_args(option)}
    return next((kind for kind in (int, float) if kind in items), None)


def attribute_docs(docstring: str | None) -> dict[str, str]:
    """Returns the texts of a class docstring's Attributes section, by name; lines may share a text (`a, b: text`).

    Python 3.13 strips the indentation of docstrings and earlier versions keep it, so it is removed first. Without a
    docstring (`python -OO`) there are no texts.
    """
    docs: dict[str, str] = {}
    names: list[str] = []
    _, _, section = inspect.cleandoc(docstring or "").partition("Attributes:\n")
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break  # the next section
        head, colon, text = line.strip().partition(": ")
        if colon and not line.startswith("   "):
            names = [name.strip() for name in head.split(",")]
            docs.update(dict.fromkeys(names, text))
        elif line.strip():
            docs.update({name: f"{docs[name]} {line.strip()}" for name in names})
    return docs


def config_values(config: type, values: flags.FlagValues, names: Iterable[str]) -> dict[str, Any]:
    """Returns the values of the flags of some fields of a configuration, converted to the types of the fields.

    Raises:
      UserError: if a part of a list of numbers is not a number.
    """
    hints = typing.get_type_hints(config)
    empty = {field.name for field in dataclasses.fields(config) if field.default == ()}
    found: dict[str, Any] = {}
    for name in names:
        number = _number_of(hints[name])
        plain = values[name].value
        if name in empty and plain == [""]:
            found[name] = ()  # --name= is an empty list, as by default
        elif number:
            found[name] = _numbers(values, name, number) or ()
        else:
            found[name] = tuple(plain) if isinstance(plain, list) else plain
    return found


def define_numbers(values: flags.FlagValues, name: str, meaning: str, default: Sequence[float] | None = None) -> None:
    """Defines a flag for a list of numbers: --name=1,2 or --name=1 --name=2."""
    shown = ",".join(map(str, default)) if default else None
    flags.DEFINE_multi_string(name, shown, meaning, flag_values=values)


def integers(values: flags.FlagValues, name: str) -> tuple[int, ...] | None:
    """Returns the integers of a flag of `define_numbers`; None if it has none.

    Raises:
      UserError: if a part is not an integer.
    """
    return _numbers(values, name, int)


def _numbers(values: flags.FlagValues, name: str, number: Callable[[str], Any]) -> tuple[Any, ...] | None:
    given = values[name].value
    if not given:
        return None
    parts = ",".join(given).split(",")
    try:
        return tuple(number(part) for part in parts)
    except ValueError as error:
        what = SIZE if name.endswith("_size") else WHOLE_NUMBERS if number is int else NUMBERS
        raise UserError(must_be(name, what, ",".join(parts))) from error


def size(values: flags.FlagValues, name: str) -> tuple[int, int] | None:
    """Returns the value of a (height, width) flag in pixels; None if it has none.

    Raises:
      UserError: if it is not two positive integers.
    """
    sides = integers(values, name)
    if sides is None:
        return None
    if len(sides) != 2 or min(sides) < 1:
        raise UserError(must_be(name, SIZE, ",".join(map(str, sides))))
    return sides[0], sides[1]
