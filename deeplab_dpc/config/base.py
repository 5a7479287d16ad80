"""The base class of the configurations: conversion from and to JSON, and checks of the fields."""

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.errors import UserError, shown

MAX_SEED = 2**31 - 1
Choices = Mapping[str, Sequence[str]]  # possible values of enumeration fields, by field name


def listed(numbers: Iterable[float]) -> str:
    return ",".join(map(str, numbers))


def positive(config: Any, *names: str) -> None:
    for name in names:
        finite(name, getattr(config, name))
        if getattr(config, name) <= 0:
            raise UserError(f"--{name} must be greater than 0, got {getattr(config, name)}.")


def not_negative(config: Any, *names: str) -> None:
    for name in names:
        finite(name, getattr(config, name) or 0)
        if (getattr(config, name) or 0) < 0:
            raise UserError(f"--{name} must not be negative, got {getattr(config, name)}.")


def finite(name: str, *numbers: float) -> None:
    """Raises a UserError if a number is infinite or nan, which JSON does not have."""
    if not all(map(math.isfinite, numbers)):
        raise UserError(f"--{name} must be finite, got {listed(numbers)}.")


def valid_seed(seed: int) -> None:
    """Raises a UserError for a seed that a library refuses; further seeds are the integers after it."""
    if not 0 <= seed <= MAX_SEED:
        raise UserError(f"--seed must be from 0 to {MAX_SEED:,}, got {seed}.")


def bounded(config: Any, limit: int) -> None:
    """Raises a UserError if a field is a number above the limit, or a tuple that contains one."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, int | float) and number > limit for number in numbers):
            raise UserError(f"--{field.name} must be at most {limit:,}, got {listed(numbers)}.")


def no_negative_weight(label_weights: Sequence[float]) -> None:
    finite("label_weights", *label_weights)
    if any(weight < 0 for weight in label_weights):
        raise UserError(f"--label_weights must not be negative, got {listed(label_weights)}.")


def one_weight_a_class(label_weights: Sequence[float], num_classes: int) -> None:
    """Raises a UserError if label weights are given, but not one for each class."""
    if label_weights and len(label_weights) != num_classes:
        raise UserError(
            f"--label_weights has {len(label_weights)} weights, but there are {num_classes} classes; "
            "give one for each, in the order of their ids."
        )


def one_of(config: Any, name: str, choices: Iterable[str]) -> None:
    if getattr(config, name) not in choices:
        raise UserError(f"--{name} must be one of {', '.join(choices)}, got {getattr(config, name)}.")


class Config:
    """The base class of the configurations: a frozen dataclass that converts from and to JSON.

    Attributes:
      CHOICES: possible values of enumeration fields, by field name.
    """

    CHOICES: ClassVar[Choices] = {}
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]  # set by dataclasses.dataclass in each subclass

    @classmethod
    def choices(cls) -> Choices:
        """Returns CHOICES, with the values that other packages add."""
        return cls.CHOICES

    def check_choices(self) -> None:
        """Raises a UserError if a field has a value that is not one of its `choices`; None is allowed."""
        for name, choices in self.choices().items():
            if getattr(self, name) is not None:
                one_of(self, name, choices)

    def to_json(self) -> dict[str, Any]:
        return {field.name: encode(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Returns the configuration whose `to_json` is given; missing fields have their defaults.

        Raises:
          UserError: if a field is unknown, has no default and is missing, or has another type than the class declares.
        """
        if not isinstance(value, dict):
            raise UserError(f"{cls.__name__} must be an object with a value for each field, got {shown(value)}.")
        unknown = sorted(set(value) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise UserError(f"{cls.__name__} has no field {', '.join(unknown)}; it was written by another version.")
        fields = cls.typed_fields(value)
        for field in dataclasses.fields(cls):
            is_required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if is_required and field.name not in fields:
                raise UserError(f"{cls.__name__} lacks the field {field.name}.")
        return cls(**fields)

    @classmethod
    def typed_fields(cls, value: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values of the fields in JSON, converted to the types that the class declares.

        Raises:
          UserError: if a field has another type than the class declares.
        """
        hints, fields = typing.get_type_hints(cls), {}
        for field in dataclasses.fields(cls):
            if field.name in value:
                try:
                    fields[field.name] = _typed(hints[field.name], value[field.name])
                except TypeError as error:
                    kind = field.type.__name__ if isinstance(field.type, type) else field.type
                    raise UserError(
                        f"{cls.__name__}.{field.name} must be {kind}, got {shown(value[field.name])}."
                    ) from error
        return fields


def encode(value: Any) -> Any:
    """Returns a configuration, or the value of one of its fields, as JSON."""
    if isinstance(value, (Cell, Genotype, Config)):
        return value.to_json()
    return list(value) if isinstance(value, tuple) else value


def _typed(hint: Any, value: Any) -> Any:
    """Returns a JSON value converted to the type hint of a field.

    Raises:
      TypeError: if the value has another type.
      UserError: if an architecture or a configuration in the value is invalid.
    """
    if isinstance(hint, types.UnionType):
        if value is None and types.NoneType in typing.get_args(hint):
            return None
        for option in typing.get_args(hint):
            with contextlib.suppress(TypeError):
                return _typed(option, value)
        raise TypeError
    if typing.get_origin(hint) is tuple:
        return _typed_tuple(typing.get_args(hint), value)
    if issubclass(hint, (Cell, Genotype, Config)):
        return hint.from_json(value)
    accepted = (int, float) if hint is float else (hint,)
    if type(value) not in accepted:  # not isinstance, for which a bool is an int
        raise TypeError
    return value


def _typed_tuple(items: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise TypeError
    if items[-1:] == (...,):
        items = items[:1] * len(value)
    if len(items) != len(value):
        raise TypeError
    return tuple(map(_typed, items, value))
