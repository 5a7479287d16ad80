"""Networks with their weights and the metadata of their classes, as the commands and the Python functions load them."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from deeplab_dpc.api.options import check_names, config_of, loaded_options, model_config
from deeplab_dpc.checkpoint.found_network import find_network
from deeplab_dpc.checkpoint.published import is_name
from deeplab_dpc.checkpoint.restore import restore_model
from deeplab_dpc.checkpoint.run import load_weights
from deeplab_dpc.checkpoint.run_directory import BEST, LATEST, find_checkpoint
from deeplab_dpc.config import ModelConfig, encode
from deeplab_dpc.data.classes_file import load_classes
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Color, pascal_palette
from deeplab_dpc.data.known_classes import known_classes
from deeplab_dpc.data.run_data import class_difference, read_run_data
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import Segmenter, build_segmenter
from deeplab_dpc.run_config import Section, read_run, read_section, shipped_run

AS_EVALUATED = ("output_stride", "atrous_rates")  # options that may differ between training and evaluation


class Classes(Protocol):
    """A description of the classes that a network predicts."""

    @property
    def class_names(self) -> Sequence[str]: ...

    @property
    def palette(self) -> Sequence[Color]: ...

    @property
    def ignore_label(self) -> int: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loaded:
    """The classes and the source of a model that was loaded.

    Attributes:
      class_names, palette, ignore_label: names and colours of the classes, and ignore label.
      source: source of the weights, as text.
      portable_source: the same without the folders of this machine, for the metadata of an export; empty if the model
        is not exported, which are exports and means of several.
      workdir: the run directory, or None if the model is not a run.
      step: number of steps that the run had trained; None if the model is not a run.
    """

    class_names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_label: int
    source: str
    portable_source: str = ""
    workdir: pathlib.Path | None = None
    step: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedModel(Loaded):
    """A network with its weights.

    Attributes:
      segmenter: network with its weights.
    """

    segmenter: Segmenter


class Described(Protocol):
    """A loaded model with the names of its classes."""

    @property
    def class_names(self) -> Sequence[str]: ...

    @property
    def source(self) -> str: ...


def mean_of(members: Sequence[Described]) -> str:
    """Returns the source of the mean of several models as text; for a single model, its source.

    Raises:
      UserError: if their classes differ.
    """
    first, *others = members
    for other in others:
        difference = class_difference(other.class_names, first.class_names)
        if difference is not None:
            raise UserError(
                f"{other.source} and {first.source} cannot be averaged, since their classes differ: {difference}."
            )
    return first.source if not others else "the mean of " + " and ".join(member.source for member in members)


def section_of_training(workdir: pathlib.Path, name: str, kind: type[Section]) -> Section:
    """Returns a section of the configuration of a training.

    Args:
      workdir: the run directory.
      name: name of the section, such as 'train' or 'model'.
      kind: class of the section.

    Raises:
      UserError: if `workdir` is not a run, or is the directory of a search.
    """
    if not {name, "train"} <= read_run(workdir).keys():
        raise UserError(
            f"--workdir={workdir} is the directory of a search, not of a training; give that of deeplab-dpc train."
        )
    return read_section(workdir, name, kind)


def network_of_run(workdir: pathlib.Path) -> ModelConfig:
    """Returns the configuration of the network that a run trains, or of the run that a directory of `fit` ships.

    Raises:
      UserError: if `workdir` is not a run, or is the directory of a search.
    """
    return section_of_training(shipped_run(workdir), "model", ModelConfig)


def as_evaluated(config: ModelConfig, changes: Mapping[str, Any]) -> ModelConfig:
    """Returns a run's network configuration with other values of AS_EVALUATED, since atrous rates are not weights.

    Raises:
      UserError: if the result would be a different network.
    """
    changed = config_of(ModelConfig, {**config.to_json(), **changes})
    if len(changed.atrous_rates) != len(config.atrous_rates):
        raise UserError(
            f"--atrous_rates must be {len(config.atrous_rates)} rates, as many as the network of the run has, got "
            f"{len(changed.atrous_rates)}."
        )
    return changed


def model_of_run(workdir: pathlib.Path, which: str = LATEST, config: ModelConfig | None = None) -> LoadedModel:
    """Returns the network of a run.

    Args:
      workdir: the run directory, or a directory of `fit`, of which the exported network is taken.
      which: checkpoint of the run: 'latest', 'best', or a step.
      config: configuration of the network, whose rates and output stride may differ from those of the training; None
        for that of the training.

    Raises:
      UserError: if `workdir` is not a run of a training, or it has no such checkpoint.
    """
    workdir = shipped_run(workdir)
    model = build_segmenter(config or network_of_run(workdir))
    checkpoint = find_checkpoint(workdir, which)
    load_weights(checkpoint, model)
    info = read_run_data(workdir).info
    step = f"step {checkpoint.step}" + (" (best)" if which == BEST else "")
    return LoadedModel(
        segmenter=model,
        class_names=info.class_names,
        palette=info.palette,
        ignore_label=info.ignore_label,
        source=f"{workdir}, {step}",
        portable_source=f"{workdir.resolve().name}, {step}",
        workdir=workdir,
        step=checkpoint.step,
    )


def is_checkpoint(source: str | os.PathLike[str]) -> bool:
    """Returns whether there is a TensorFlow 1 checkpoint with that prefix, or a published one with that name."""
    prefix = os.fspath(source)
    return is_name(prefix) or (not os.path.isdir(prefix) and os.path.exists(f"{prefix}.index"))


def network_of_checkpoint(
    source: str, given: Mapping[str, Any], log: Callable[[str], None] = lambda line: None
) -> ModelConfig:
    """Returns the configuration of a published checkpoint's network, from its variables and the given fields.

    Args:
      source: name of the checkpoint, or its prefix.
      given: fields of ModelConfig, which take precedence; a cell and a genotype also by name or file.
      log: function called with a message on what was found.

    Raises:
      UserError: if there is no such checkpoint, or its network is unknown.
      TypeError: if there is no such field.
    """
    check_names(given, ModelConfig)
    given = ModelConfig.typed_fields({name: encode(value) for name, value in loaded_options(given).items()})
    found = find_network(source, given)
    if line := str(found):
        log(line)
    fields = {**found.assumed, **found.read, **given}
    return model_config(fields.pop("num_classes"), fields)


def model_of_checkpoint(
    source: str,
    given: Mapping[str, Any],
    classes: str | os.PathLike[str] | None = None,
    moving_averages: bool = False,
    log: Callable[[str], None] = lambda line: None,
) -> LoadedModel:
    """Returns the network of a published checkpoint with its weights.

    Args:
      source: name of the checkpoint, or its prefix.
      given: fields of ModelConfig, see network_of_checkpoint.
      classes: names of the classes, or a file of them; by default those of the published data set with that number of
        classes.
      moving_averages: bool, whether the moving averages of the variables are restored instead of the variables.
      log: function called with messages on what was found and restored, and which classes are assumed.

    Raises:
      UserError: if there is no such checkpoint, or it does not fit the given fields.
    """
    config = network_of_checkpoint(source, given, log)
    model = build_segmenter(config)
    log(str(restore_model(model, source, moving_averages)))
    count = config.num_classes
    names: tuple[str, ...] = tuple(f"class_{i}" for i in range(count))
    palette, ignore_label = pascal_palette(count), DEFAULT_IGNORE_LABEL
    if classes:
        names, palette, ignore_label = load_classes(classes)
        if len(names) != count:
            raise UserError(f"{classes} names {len(names)} classes, --num_classes={count}.")
    elif known := known_classes(count):
        names, palette, ignore_label = known.names, known.palette, known.ignore_label
        log(f"The {count} classes are taken for those of {known.dataset}; --classes names others.")
    return LoadedModel(
        segmenter=model,
        class_names=names,
        palette=palette,
        ignore_label=ignore_label,
        source=source,
        portable_source=source if is_name(source) else "/".join(pathlib.Path(source).resolve().parts[-2:]),
    )
