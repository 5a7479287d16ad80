"""Which network a command works on: a run directory's, or a published checkpoint's with its flags."""

import dataclasses
import pathlib

from absl import flags

from deeplab_dpc.checkpoint.restore import restore_model
from deeplab_dpc.checkpoint.run import load_weights
from deeplab_dpc.checkpoint.run_directory import BEST, LATEST, find_checkpoint
from deeplab_dpc.cli import flag_groups
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.console import console
from deeplab_dpc.data.classes_file import load_classes
from deeplab_dpc.data.dataset_info import pascal_palette
from deeplab_dpc.data.known_classes import known_classes
from deeplab_dpc.data.run_data import read_run_data
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import Segmenter, build_segmenter
from deeplab_dpc.run_config import read_run, read_section

AS_EVALUATED = ("output_stride", "atrous_rates")  # what may be another in evaluation than in training


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A network with what is known of its classes.

    Attributes:
      segmenter: with its weights.
      class_names, palette, ignore_label: of the classes.
      source: where the weights come from, in words.
      workdir: the run directory, or None for a published checkpoint.
      step: how long the run had trained then; 0 for a published checkpoint.
    """

    segmenter: Segmenter
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore_label: int
    source: str
    workdir: pathlib.Path | None
    step: int


def load_model(values: flags.FlagValues) -> LoadedModel:
    """The network that the flags name.

    Raises:
      UserError: if neither or both sources are given, or the checkpoint does not fit.
    """
    if (values.workdir is None) == (values.checkpoint_path is None):
        raise UserError("Give either --workdir (a run of train.py) or --checkpoint_path (a published checkpoint).")
    if values.workdir is not None:
        if values.restore_moving_averages:
            raise UserError("--restore_moving_averages is for --checkpoint_path; a run keeps no moving averages.")
        return _from_run(pathlib.Path(values.workdir), values)
    if values.run_checkpoint != LATEST:
        raise UserError("--run_checkpoint is for --workdir; --checkpoint_path names one checkpoint.")
    flag_groups.required(values, "num_classes")
    config = flag_groups.model_config(values, values.num_classes)
    model = build_segmenter(config)
    console.print(str(restore_model(model, values.checkpoint_path, values.restore_moving_averages)))
    return _named(model, values)


def _from_run(workdir: pathlib.Path, values: flags.FlagValues) -> LoadedModel:
    which = values.run_checkpoint
    config = read_run(workdir)
    if "model" not in config or "train" not in config:
        raise UserError(f"--workdir={workdir} is the directory of a search, not of a training; give that of train.py.")
    model = build_segmenter(as_evaluated(read_section(workdir, "model", ModelConfig), values))
    checkpoint = find_checkpoint(workdir, which)
    load_weights(checkpoint, model)
    info = read_run_data(workdir).info
    return LoadedModel(
        model,
        info.class_names,
        info.palette,
        info.ignore_label,
        f"{workdir}, step {checkpoint.step}" + (" (best)" if which == BEST else ""),
        workdir,
        checkpoint.step,
    )


def as_evaluated(config: ModelConfig, values: flags.FlagValues) -> ModelConfig:
    """Returns the network of a run, with what the flags replace: atrous rates are no weights.

    Raises:
      UserError: for a flag that would make it another network.
    """
    names = ("num_classes", "dense_prediction_cell_json", "genotype_json", *flag_groups.model_flags())
    given = [name for name in names if not values[name].using_default_value]
    for name in given:
        if name not in AS_EVALUATED:
            raise UserError(
                f"--{name} cannot be given with --workdir; a run keeps the flags of its network, of which only "
                f"{' and '.join(f'--{each}' for each in AS_EVALUATED)} may be others when it is applied. Leave it out."
            )
    replaced = flag_groups.config_from_flags(ModelConfig, values, num_classes=config.num_classes) if given else config
    changed = dataclasses.replace(config, **{name: getattr(replaced, name) for name in given})
    if len(changed.atrous_rates) != len(config.atrous_rates):
        raise UserError(
            f"--atrous_rates must be {len(config.atrous_rates)} rates, as many as the network of the run has, got "
            f"{len(changed.atrous_rates)}."
        )
    return changed


def _named(model: Segmenter, values: flags.FlagValues) -> LoadedModel:
    count = values.num_classes
    names: tuple[str, ...] = tuple(f"class_{i}" for i in range(count))
    palette, ignore_label = pascal_palette(count), 255
    if values.classes:
        names, palette, ignore_label = load_classes(values.classes)
        if len(names) != count:
            raise UserError(f"{values.classes} names {len(names)} classes, --num_classes={count}.")
    elif known := known_classes(count):
        names, palette = known.names, known.palette
        console.print(f"The {count} classes are taken for those of {known.dataset}; --classes names others.")
    return LoadedModel(model, names, palette, ignore_label, values.checkpoint_path, None, step=0)
