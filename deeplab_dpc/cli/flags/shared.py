"""Groups of flags that several commands share: data, network, sources of networks, conversion of data sets."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from deeplab_dpc.arch.library import load_cell, load_genotype, published_genotype
from deeplab_dpc.checkpoint.run_directory import BEST, LATEST
from deeplab_dpc.cli.flags.base import CommandFlags, ConfigFields, FlagGroup, fields_of, flag, required
from deeplab_dpc.config import DataConfig, InferenceConfig, ModelConfig
from deeplab_dpc.config.model import AUTO_DEEPLABS
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.classes_file import CLASSES_HELP, located_classes
from deeplab_dpc.data.dataset_info import MAX_DEFAULT_CROP, Dataset, default_crop
from deeplab_dpc.errors import UserError

# Fields of the configurations that have no flag, or one that is declared separately.
NOT_OF_NETWORK = ("num_classes", "dense_prediction_cell", "genotype")
NOT_OF_DATA = ("data_dir", "dataset", "train_crop_size")
DATASET_HELP = "Name of the data set, if --data_dir contains several."
# Flags of the network in --help of the commands that predict.
OF_PREDICTOR = (
    "workdir",
    "run_checkpoint",
    "checkpoint_path",
    "exported_model",
    "num_classes",
    "classes",
    "model_variant",
    "output_stride",
    "dense_prediction_cell_json",
)


def network_fields() -> list[str]:
    """Returns the names of the flags that are plain fields of the network's configuration."""
    return [field.name for field in dataclasses.fields(ModelConfig) if field.name not in NOT_OF_NETWORK]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkFlags(FlagGroup):
    """The flags of the network, except for the number of classes."""

    TITLE: ClassVar[str] = "Network"

    fields: ConfigFields[ModelConfig] = fields_of(
        ModelConfig, title=TITLE, without=NOT_OF_NETWORK, variants=["model_variant"]
    )
    dense_prediction_cell_json: str | None = flag(
        None,
        "Dense prediction cell instead of ASPP: a JSON file, or the name of a shipped cell (dpc_top1, aspp, psp, "
        "conv1x1).",
    )
    genotype_json: str | None = flag(
        None,
        "Genotype (cell and path) of an Auto-DeepLab: a JSON file that a search has written, or the name of a "
        "shipped genotype (auto_deeplab). By default, --model_variant is then auto_deeplab, and --output_stride "
        "that of the path.",
    )

    def config(self, num_classes: int) -> ModelConfig:
        """Returns the configuration of the network that the flags describe."""
        cell = self.dense_prediction_cell_json
        return self.fields.make(
            num_classes=num_classes,
            dense_prediction_cell=load_cell(cell) if cell else None,
            **self._of_genotype(),
        )

    def given_fields(self) -> dict[str, Any]:
        """Returns the values of the fields of ModelConfig whose flags are given, by name."""
        fields = self.fields.given_values()
        if self.dense_prediction_cell_json:
            fields["dense_prediction_cell"] = load_cell(self.dense_prediction_cell_json)
        return fields | (self._of_genotype() if self.genotype_json else {})

    def with_defaults(self, defaults: Mapping[str, Any]) -> Self:
        """Returns a copy with `defaults` as the values of fields whose flags were not given."""
        return dataclasses.replace(self, fields=self.fields.with_defaults(defaults))

    def _of_genotype(self) -> dict[str, Any]:
        """Returns the values of the fields that --genotype_json or the genotype of an Auto-DeepLab determines, by name.

        Raises:
          UserError: if the genotype is invalid, or the backbone is not an Auto-DeepLab.
        """
        found: dict[str, Any] = {"genotype": None}
        variant = self.fields["model_variant"]
        if self.genotype_json:
            found["genotype"] = load_genotype(self.genotype_json)
            if "model_variant" not in self.fields.given:
                found["model_variant"] = variant = AUTO_DEEPLABS[0]
            elif variant not in AUTO_DEEPLABS:
                raise UserError(
                    f"--genotype_json is for an Auto-DeepLab, not for --model_variant={variant}: leave one of them "
                    f"out, or choose one of {', '.join(AUTO_DEEPLABS)}."
                )
        if variant in AUTO_DEEPLABS and "output_stride" not in self.fields.given:
            found["output_stride"] = (found["genotype"] or published_genotype()).output_stride
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFlags(FlagGroup):
    """The flags of the data and of the augmentation of training images."""

    TITLE: ClassVar[str] = "Data"

    data_dir: str | None = flag(None, "Folder that contains the prepared data set.")
    dataset: str | None = flag(None, DATASET_HELP)
    fields: ConfigFields[DataConfig] = fields_of(DataConfig, title=TITLE, without=NOT_OF_DATA)
    train_crop_size: tuple[int, int] | None = flag(
        None,
        "Height and width of the training crops in pixels, output_stride * k + 1 (for an Auto-DeepLab "
        f"its largest stride * k + 1); by default the largest image, at most {MAX_DEFAULT_CROP}.",
    )

    @property
    def train_split(self) -> str:
        """Returns the split to train on."""
        split: str = self.fields["train_split"]
        return split

    def found(self) -> Dataset:
        """Returns the data set.

        Raises:
          UserError: if --data_dir is not given, or contains no such data set.
        """
        return find_dataset(required("data_dir", self.data_dir), self.dataset, self.fields["classes"])

    def config(self, dataset: Dataset, alignment: int) -> DataConfig:
        """Returns the data configuration.

        By default, the crop is the largest image of the split, with sides alignment * k + 1.
        """
        assert self.data_dir is not None
        dataset.shards(self.train_split)  # raises a UserError if there is no such split
        crop = self.train_crop_size or default_crop(dataset, self.train_split, alignment)
        # Absolute, so that the run can be evaluated from any directory.
        paths = {"data_dir": os.path.abspath(self.data_dir)}
        if self.fields["classes"]:
            paths["classes"] = located_classes(self.fields["classes"])
        return self.fields.make(train_crop_size=crop, **paths)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceFlags(FlagGroup):
    """The flags of a network with weights: those of a run, or of a published checkpoint and its network."""

    TITLE: ClassVar[str] = "Network"

    workdir: str | None = flag(
        None,
        "Run directory of deeplab-dpc train; eval, predict and export also take several, A,B, and average their "
        "probabilities.",
    )
    run_checkpoint: str = flag(
        LATEST, f"Checkpoint of --workdir: {LATEST}, {BEST} (by the evaluations during training) or a step."
    )
    checkpoint_path: str | None = flag(
        None,
        "Published TensorFlow 1 checkpoint, instead of --workdir: the prefix before .index, or the name "
        "by which it is downloaded (docs/weights.md). Its variables determine the flags of the network.",
    )
    restore_moving_averages: bool = flag(
        False,
        "Whether the moving averages of the variables in --checkpoint_path are restored instead of the variables.",
    )
    num_classes: int | None = flag(None, "Number of classes of the checkpoint; by default that of its variables.")
    classes: str | None = flag(
        None,
        "Names and colours of the classes of --checkpoint_path; by default those of PASCAL VOC, Cityscapes or "
        f"ADE20K if the number of classes agrees. {CLASSES_HELP}",
    )
    network: NetworkFlags


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictorFlags(FlagGroup):
    """The flags of a predictor: a network or an exported model, and the options of prediction."""

    TITLE: ClassVar[str] = "Network"

    source: SourceFlags
    exported_model: str | None = flag(
        None,
        "Model exported by deeplab-dpc export, instead of --workdir: the directory of a SavedModel, or a .tflite or "
        ".onnx file.",
    )
    inference: ConfigFields[InferenceConfig] = fields_of(InferenceConfig, title="Prediction")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildFlags(CommandFlags):
    """The flags that all commands that convert a data set share."""

    data_dir: str | None = flag(None, "Folder in which the data set is written.", title="Output")
    overwrite: bool = flag(False, "Replace a data set that was made from other files.", title="Output")
    skip_bad: bool = flag(
        False,
        "Leave out unusable images and labels, and list them at the end, instead of stopping at the first.",
        title="Output",
    )
    check: bool = flag(
        True, "Check the records afterwards, as check-data does, and draw a contact sheet.", title="Output"
    )


def json_flag() -> Any:
    """Declares --json for the commands that describe a network or a data set."""
    return flag(False, "Print JSON instead of a table.", title="Output")
