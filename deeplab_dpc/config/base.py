"""What all configurations share: JSON both ways, and the checks of their fields."""

import dataclasses
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, Self

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.errors import UserError


def listed(numbers: Iterable[float]) -> str:
    return ",".join(map(str, numbers))


def positive(config: Any, *names: str) -> None:
    for name in names:
        if getattr(config, name) <= 0:
            raise UserError(f"--{name} must be greater than 0, got {getattr(config, name)}.")


def not_negative(config: Any, *names: str) -> None:
    for name in names:
        if (getattr(config, name) or 0) < 0:
            raise UserError(f"--{name} must not be negative, got {getattr(config, name)}.")


def no_negative_weight(label_weights: Sequence[float]) -> None:
    if any(weight < 0 for weight in label_weights):
        raise UserError(f"--label_weights must not be negative, got {listed(label_weights)}.")


def one_weight_a_class(label_weights: Sequence[float], num_classes: int) -> None:
    """Raises a UserError if there are label weights, but not one for each class."""
    if label_weights and len(label_weights) != num_classes:
        raise UserError(
            f"--label_weights has {len(label_weights)} weights, but there are {num_classes} classes; "
            "give one for each, in the order of their ids."
        )


def one_of(config: Any, name: str, choices: Iterable[str]) -> None:
    if getattr(config, name) not in choices:
        raise UserError(f"--{name} must be one of {', '.join(choices)}, got {getattr(config, name)}.")


class Config:
    """JSON both ways for a frozen dataclass."""

    def to_json(self) -> dict[str, Any]:
        return {field.name: encode(getattr(self, field.name)) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        hints = typing.get_type_hints(cls)
        unknown = sorted(set(value) - set(hints))
        if unknown:
            raise UserError(f"{cls.__name__} has no field {', '.join(unknown)}; it was written by another version.")
        return cls(**{name: _decode(hints[name], item) for name, item in value.items()})


def encode(value: Any) -> Any:
    """A field of a configuration, or a whole one, as JSON."""
    if isinstance(value, (Cell, Genotype, Config)):
        return value.to_json()
    return list(value) if isinstance(value, tuple) else value


def _decode(hint: Any, value: Any) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None:
        return None
    for option in options:
        if isinstance(option, type) and issubclass(option, (Cell, Genotype, Config)):
            return option.from_json(value)
    return tuple(value) if isinstance(value, list) else value
