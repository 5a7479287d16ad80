"""The flags of a command as a frozen dataclass: its fields define the flags and hold their values after parsing.

A field is one flag (`flag`), a flag for each of several fields of a configuration (`fields_of`), or a group of flags
that several commands share (another dataclass). `cli/main.py` passes such a dataclass to the command, which does not
use absl.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

from absl import flags

from deeplab_dpc.cli import config_flags
from deeplab_dpc.cli.flag_help import concerning
from deeplab_dpc.config import Config
from deeplab_dpc.errors import UserError

AConfig = TypeVar("AConfig", bound=Config)
AGroup = TypeVar("AGroup", bound="FlagGroup")
_DECLARED = "flag"  # the key of a field's metadata
_DEFINE: dict[Any, Callable[..., Any]] = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    tuple[str, ...]: flags.DEFINE_list,
}


@dataclasses.dataclass(frozen=True)
class _Flag:
    """A flag, as `flag` declares it."""

    meaning: str
    name: str | None
    title: str | None
    choices: tuple[str, ...]
    lower_bound: int | None


@dataclasses.dataclass(frozen=True)
class _ConfigFlags:
    """The flags of a configuration, as `fields_of` declares them."""

    config: type[Config]
    only: Sequence[str] | None
    without: Sequence[str]
    title: Callable[[str], str]
    variants: Sequence[str]


def flag(
    default: Any,
    meaning: str,
    *,
    title: str | None = None,
    name: str | None = None,
    choices: Sequence[str] = (),
    lower_bound: int | None = None,
) -> Any:
    """Declares a field that is a flag; its annotation is the type of the flag's value.

    Args:
      default: value without the flag.
      meaning: help text.
      title: title in the help, one of flag_help.TITLES; by default that of the group.
      name: name of the flag, if it differs from the field's.
      choices: possible values of an enumeration.
      lower_bound: smallest value of an integer.
    """
    return dataclasses.field(
        default=default, metadata={_DECLARED: _Flag(meaning, name, title, tuple(choices), lower_bound)}
    )


def fields_of(
    config: type[Config],
    *,
    title: str | Callable[[str], str],
    only: Sequence[str] | None = None,
    without: Sequence[str] = (),
    variants: Sequence[str] = (),
) -> Any:
    """Declares a field of type ConfigFields, with a flag for each plain field of a configuration.

    Args:
      config: class of the configuration, whose docstring contains the help texts.
      title: one of flag_help.TITLES, or a function that returns the title of a field, given its name.
      only: names of the fields that have a flag; by default all.
      without: names of the fields that have none.
      variants: names of the fields that hold a backbone.
    """
    titled = title if callable(title) else lambda name: title
    return dataclasses.field(metadata={_DECLARED: _ConfigFlags(config, only, without, titled, variants)})


@dataclasses.dataclass(frozen=True)
class ConfigFields(Generic[AConfig]):
    """The values of the flags of a configuration; `make` adds the values of the other fields.

    Attributes:
      config: class of the configuration.
      values: values by field name, in the types of the configuration.
      given: names of the fields whose flags were given.
    """

    config: type[AConfig]
    values: Mapping[str, Any]
    given: frozenset[str]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def make(self, **others: Any) -> AConfig:
        """Returns the configuration; `others` take precedence over the flags.

        Raises:
          UserError: if the configuration is invalid.
        """
        return self.config(**{**self.values, **others})

    def given_values(self) -> dict[str, Any]:
        """Returns the values of the flags that were given, by field name."""
        return {name: value for name, value in self.values.items() if name in self.given}

    def with_defaults(self, defaults: Mapping[str, Any]) -> Self:
        """Returns a copy with `defaults` as the values of fields whose flags were not given."""
        changed = {name: value for name, value in defaults.items() if name not in self.given}
        return dataclasses.replace(self, values={**self.values, **changed})


class FlagGroup:
    """The base class of groups of flags: frozen dataclasses whose fields are from `flag` or `fields_of`, or are groups.

    Attributes:
      TITLE: title of the group's flags in the help; None for those of the command itself.
      ALIASES: names of flags, by alias.
    """

    TITLE: ClassVar[str | None] = None
    ALIASES: ClassVar[Mapping[str, str]] = {}
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


def required(name: str, value: str | None) -> str:
    """Returns the value of a flag that must be given.

    Raises:
      UserError: if the flag was not given.
    """
    if not value:
        raise UserError(f"--{name} is required.")
    return value


@dataclasses.dataclass(frozen=True)
class Given:
    """A flag that was given, on the command line or in a flagfile.

    Attributes:
      value: value of the flag as parsed by absl.
      arguments: command-line arguments that give the flag this value.
    """

    value: Any
    arguments: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommandFlags(FlagGroup):
    """The base class of the flags of a command.

    Attributes:
      given: the flags that were given, by name, including those that every command has.
    """

    given: Mapping[str, Given] = dataclasses.field(default_factory=dict)


def define_flags(group: type[FlagGroup], values: flags.FlagValues) -> None:
    """Defines the flags that a group declares, and their aliases."""
    for field, declared, hint in _declarations(group):
        if declared is None:
            define_flags(hint, values)
        elif isinstance(declared, _ConfigFlags):
            for name in _names(declared):
                with concerning(values, declared.title(name)):
                    config_flags.define_config_flags(values, declared.config, [name], declared.variants)
        else:
            title = declared.title or group.TITLE
            if title is None:
                _define(field, declared, hint, values)
            else:
                with concerning(values, title):
                    _define(field, declared, hint, values)
    for name, target in group.ALIASES.items():
        with concerning(values, "Prediction"):
            flags.DEFINE_alias(name, target, flag_values=values)


def read_flags(group: type[AGroup], values: flags.FlagValues) -> AGroup:
    """Returns the group with the values of its flags.

    Raises:
      UserError: if a list of numbers has a part that is not a number, or a size is not two positive integers.
    """
    for alias, name in group.ALIASES.items():
        if not values[alias].using_default_value:
            values[name].using_default_value = False  # absl says so of the alias alone
    found: dict[str, Any] = {}
    for field, declared, hint in _declarations(group):
        if declared is None:
            found[field.name] = read_flags(hint, values)
        elif isinstance(declared, _ConfigFlags):
            # All fields with a flag, which another configuration of the command may have defined.
            names = [one.name for one in dataclasses.fields(declared.config) if one.name in values]
            given = frozenset(name for name in names if not values[name].using_default_value)
            plain = config_flags.config_values(declared.config, values, names)
            found[field.name] = ConfigFields(declared.config, plain, given)
        else:
            found[field.name] = _read(declared.name or field.name, hint, values)
    if issubclass(group, CommandFlags):
        found["given"] = _given(values, group.ALIASES)
    return group(**found)


def _declarations(
    group: type[FlagGroup],
) -> list[tuple[dataclasses.Field[Any], _Flag | _ConfigFlags | None, Any]]:
    """Returns (field, declaration, type without None) of each field; the declaration of a group is None."""
    hints = typing.get_type_hints(group)
    return [
        (field, field.metadata.get(_DECLARED), _without_none(hints[field.name]))
        for field in dataclasses.fields(group)
        if field.name != "given"
    ]


def _without_none(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        [only] = [one for one in typing.get_args(hint) if one is not types.NoneType]
        return only
    return hint


def _names(declared: _ConfigFlags) -> list[str]:
    """Returns the names of the fields of a configuration that have a flag."""
    names = [field.name for field in dataclasses.fields(declared.config)]
    return [name for name in names if (declared.only is None or name in declared.only) and name not in declared.without]


def _define(field: dataclasses.Field[Any], declared: _Flag, hint: Any, values: flags.FlagValues) -> None:
    name = declared.name or field.name
    default: Any = field.default
    if isinstance(default, tuple) and hint != tuple[int, int]:
        default = list(default)
    if declared.choices:
        flags.DEFINE_enum(name, default, declared.choices, declared.meaning, flag_values=values)
    elif hint == tuple[int, int]:
        config_flags.define_numbers(values, name, declared.meaning, default)
    elif declared.lower_bound is not None:
        flags.DEFINE_integer(name, default, declared.meaning, lower_bound=declared.lower_bound, flag_values=values)
    else:
        _DEFINE[hint](name, default, declared.meaning, flag_values=values)


def _read(name: str, hint: Any, values: flags.FlagValues) -> Any:
    if hint == tuple[int, int]:
        return config_flags.size(values, name)
    value = values[name].value
    return tuple(value) if isinstance(value, list) else value


def _given(values: flags.FlagValues, aliases: Collection[str]) -> dict[str, Given]:
    """Returns the flags that were given, sorted by name."""
    found: dict[str, Given] = {}
    for name in sorted(values):
        one = values[name]
        if name == one.name and name not in aliases and not one.using_default_value:
            found[name] = Given(one.value, tuple(_arguments(one)))
    return found


def _arguments(one: flags.Flag[Any]) -> list[str]:
    """Returns the command-line arguments that give a flag its value."""
    if one.value is None:
        return []
    if isinstance(one, flags.MultiFlag):
        return [f"--{one.name}={value}" for value in one.value or ()]
    return [one.serialize()]
