"""Flags that several commands share, in DeepLab's names, and the configurations made from them."""

import dataclasses
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from absl import flags

from deeplab_dpc import own_parts
from deeplab_dpc.arch.library import load_cell, load_genotype, published_genotype
from deeplab_dpc.cli.flag_help import concerning
from deeplab_dpc.cli.flag_values import NUMBERS, SIZE, WHOLE_NUMBERS, must_be
from deeplab_dpc.config import Config, DataConfig, ModelConfig
from deeplab_dpc.config.model import AUTO_DEEPLABS, MODEL_VARIANTS
from deeplab_dpc.data.classes_file import located_classes
from deeplab_dpc.data.crops import MAX_DEFAULT_CROP, default_crop
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.errors import UserError

AConfig = TypeVar("AConfig", bound=Config)


class _Named(flags.ArgumentParser[str]):
    """A parser that provides the values of an enumeration for the help; the configuration checks them, with its own
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
    meanings = attribute_docs(config.__doc__)
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


def config_from_flags(config: type[AConfig], values: flags.FlagValues, **given: Any) -> AConfig:
    """Returns a configuration of that class from the flags with its fields' names; `given` takes precedence."""
    names = [field.name for field in dataclasses.fields(config) if field.name in values and field.name not in given]
    return config(**_fields(config, values, names), **given)


def _fields(config: type, values: flags.FlagValues, names: Iterable[str]) -> dict[str, Any]:
    """Returns the values of the flags of these fields, in the types of the configuration."""
    hints = typing.get_type_hints(config)
    empty = {field.name for field in dataclasses.fields(config) if field.default == ()}
    found: dict[str, Any] = {}
    for name in names:
        number = _number_of(hints[name])
        plain = values[name].value
        if name in empty and plain == [""]:
            found[name] = ()  # --name= is none, as by default
        elif number:
            found[name] = _numbers(values, name, number) or ()
        else:
            found[name] = tuple(plain) if isinstance(plain, list) else plain
    return found


def define_numbers(values: flags.FlagValues, name: str, meaning: str, default: Sequence[float] | None = None) -> None:
    """Defines a list of numbers: --name=1,2 or --name=1 --name=2."""
    shown = ",".join(map(str, default)) if default else None
    flags.DEFINE_multi_string(name, shown, meaning, flag_values=values)


def integers(values: flags.FlagValues, name: str) -> tuple[int, ...] | None:
    """Returns the integers of such a flag, or None.

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
    """Returns a (height, width) flag in pixels, or None.

    Raises:
      UserError: if it is not two positive integers.
    """
    sides = integers(values, name)
    if sides is None:
        return None
    if len(sides) != 2 or min(sides) < 1:
        raise UserError(must_be(name, SIZE, ",".join(map(str, sides))))
    return sides[0], sides[1]


def model_flags() -> list[str]:
    """Returns the names of the flags that are plain fields of the network's configuration."""
    other = ("num_classes", "dense_prediction_cell", "genotype")
    return [field.name for field in dataclasses.fields(ModelConfig) if field.name not in other]


def define_model_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the network, except for the number of classes."""
    with concerning(values, "Network"):
        define_config_flags(values, ModelConfig, model_flags(), variants=["model_variant"])
        flags.DEFINE_string(
            "dense_prediction_cell_json",
            None,
            "Dense prediction cell instead of ASPP: a JSON file, or the name of a shipped cell (dpc_top1, "
            "aspp, psp, conv1x1).",
            flag_values=values,
        )
        flags.DEFINE_string(
            "genotype_json",
            None,
            "Cell and path of an Auto-DeepLab: a JSON file, as a search writes it, or the name of a shipped "
            "genotype (auto_deeplab). By default --model_variant is then auto_deeplab, and --output_stride "
            "that of the path.",
            flag_values=values,
        )


def model_config(values: flags.FlagValues, num_classes: int) -> ModelConfig:
    """Returns the network that the flags describe."""
    cell = values.dense_prediction_cell_json
    return config_from_flags(
        ModelConfig,
        values,
        num_classes=num_classes,
        dense_prediction_cell=load_cell(cell) if cell else None,
        **_genotype_fields(values),
    )


def given_model_fields(values: flags.FlagValues) -> dict[str, Any]:
    """Returns the fields of ModelConfig whose flags are given, on the command line or in a flagfile."""
    names = [
        name for name in ("num_classes", *model_flags()) if name in values and not values[name].using_default_value
    ]
    fields = _fields(ModelConfig, values, names)
    if values.dense_prediction_cell_json:
        fields["dense_prediction_cell"] = load_cell(values.dense_prediction_cell_json)
    return fields | (_genotype_fields(values) if values.genotype_json else {})


def _genotype_fields(values: flags.FlagValues) -> dict[str, Any]:
    """Returns the fields that --genotype_json sets, and those that the genotype of an Auto-DeepLab determines.

    Raises:
      UserError: if the genotype is not valid, or given for another backbone.
    """
    fields: dict[str, Any] = {"genotype": None}
    variant = values.model_variant
    if values.genotype_json:
        fields["genotype"] = load_genotype(values.genotype_json)
        if values["model_variant"].using_default_value:
            fields["model_variant"] = variant = AUTO_DEEPLABS[0]
        elif variant not in AUTO_DEEPLABS:
            raise UserError(
                f"--genotype_json is for an Auto-DeepLab, not for --model_variant={variant}: leave one of them out, or "
                f"choose one of {', '.join(AUTO_DEEPLABS)}."
            )
    if variant in AUTO_DEEPLABS and values["output_stride"].using_default_value:
        fields["output_stride"] = (fields["genotype"] or published_genotype()).output_stride
    return fields


def define_data_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the data and of the augmentation of training images."""
    with concerning(values, "Data"):
        flags.DEFINE_string("data_dir", None, "Folder that contains the prepared data set.", flag_values=values)
        flags.DEFINE_string(
            "dataset", None, "Name of the data set, if --data_dir contains several.", flag_values=values
        )
        other = ("data_dir", "dataset", "train_crop_size")
        names = [field.name for field in dataclasses.fields(DataConfig) if field.name not in other]
        define_config_flags(values, DataConfig, names)
        define_numbers(
            values,
            "train_crop_size",
            "Height and width of the training crops in pixels, output_stride * k + 1 (for an Auto-DeepLab "
            f"its largest stride * k + 1); by default the largest image, at most {MAX_DEFAULT_CROP}.",
        )


def data_config(values: flags.FlagValues, dataset: Dataset, alignment: int) -> DataConfig:
    """Returns the data configuration.

    By default the crop is the largest image of the split, with sides alignment * k + 1.
    """
    dataset.shards(values.train_split)  # raises the clear error if there is no such split
    crop = size(values, "train_crop_size") or default_crop(dataset, values.train_split, alignment)
    # Absolute, so that the run can be evaluated from any directory.
    paths = {"data_dir": os.path.abspath(values.data_dir)}
    if values.classes:
        paths["classes"] = located_classes(values.classes)
    return config_from_flags(DataConfig, values, train_crop_size=crop, **paths)


def required(values: flags.FlagValues, *names: str) -> None:
    """Raises a UserError that names the first of these flags that was not given."""
    for name in names:
        if values[name].value in (None, ""):
            raise UserError(f"--{name} is required.")
