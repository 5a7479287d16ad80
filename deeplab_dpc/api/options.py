"""Options of networks and of inference as keyword arguments; config/ has their descriptions, defaults and checks."""

import dataclasses
import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.arch.library import load_cell, load_genotype, published_genotype
from deeplab_dpc.config import Config, InferenceConfig, ModelConfig, encode
from deeplab_dpc.config.model import AUTO_DEEPLABS

AnyConfig = TypeVar("AnyConfig", bound=Config)


class ModelOptions(TypedDict, total=False):
    """The fields of ModelConfig, except for the number of classes; a cell and a genotype also by name or file."""

    model_variant: str
    output_stride: int
    depth_multiplier: float
    divisible_by: int | None
    multi_grid: Sequence[int]
    genotype: Genotype | str | os.PathLike[str] | None
    nas_stem_output_num_conv_filters: int
    dense_prediction_cell: Cell | str | os.PathLike[str] | None
    atrous_rates: Sequence[int]
    add_image_level_feature: bool
    image_pooling_crop_size: Sequence[int]
    image_pooling_stride: Sequence[int]
    aspp_with_separable_conv: bool
    aspp_convs_filters: int
    aspp_with_concat_projection: bool
    aspp_with_squeeze_and_excitation: bool
    image_se_uses_qsigmoid: bool
    decoder_output_stride: Sequence[int]
    decoder_filters: int
    decoder_use_separable_conv: bool
    decoder_use_sum_merge: bool
    decoder_output_is_logits: bool


class InferenceOptions(TypedDict, total=False):
    """The fields of InferenceConfig."""

    eval_crop_size: Sequence[int]
    eval_scales: Sequence[float]
    add_flipped_images: bool
    sliding_window: Sequence[int]
    window_overlap: float
    inference_dtype: str
    fold_batch_norm: bool


class TrainOptions(ModelOptions, total=False):
    """The options of the network, and the fields of DataConfig and TrainConfig, except for the place of the data
    set.
    """

    train_split: str
    train_crop_size: Sequence[int]
    min_scale_factor: float
    max_scale_factor: float
    scale_factor_step_size: float
    min_resize_value: int | None
    max_resize_value: int | None
    resize_factor: int | None
    photometric_jitter: float
    cache: str
    training_number_of_steps: int
    train_batch_size: int
    gradient_accumulation_steps: int
    optimizer: str
    momentum: float
    adam_epsilon: float
    learning_policy: str
    base_learning_rate: float
    learning_power: float
    end_learning_rate: float
    learning_rate_decay_step: int
    learning_rate_decay_factor: float
    slow_start_step: int
    slow_start_learning_rate: float
    slow_start_burnin_type: str | None
    weight_decay: float
    clip_gradient_norm: float
    last_layer_gradient_multiplier: float
    last_layers_contain_logits_only: bool
    upsample_logits: bool
    label_weights: Sequence[float]
    top_k_percent_pixels: float
    hard_example_mining_step: int
    focal_loss_weight: float
    focal_loss_gamma: float
    dice_loss_weight: float
    loss_quadrature_nodes: int
    fine_tune_batch_norm: bool
    fine_tune_backbone_batch_norm: bool
    freeze_backbone: bool
    drop_path_keep_prob: float
    precision: str
    tf_initial_checkpoint: str | None
    fork_from: str | None
    restore_moving_averages: bool
    initialize_last_layer: bool
    save_interval_steps: int
    log_steps: int
    eval_interval_steps: int | None
    eval_split: str
    early_stopping_patience: int
    time_limit: float
    early_end_step: int
    seed: int


def model_config(num_classes: int, options: Mapping[str, Any]) -> ModelConfig:
    """Returns the configuration of the network that the options describe.

    Raises:
      TypeError: if there is no such option.
      UserError: if a value is invalid.
    """
    given = loaded_options(options)
    if given.get("model_variant") in AUTO_DEEPLABS and "output_stride" not in given:
        genotype = given.get("genotype") or published_genotype()
        given["output_stride"] = getattr(genotype, "output_stride", ModelConfig.output_stride)
    return config_of(ModelConfig, {"num_classes": num_classes, **given})


def loaded_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options with the cell and the genotype loaded from their names or files.

    Raises:
      UserError: if there is none with that name, or it is not valid.
    """
    loaded = dict(options)
    for name, load in (("dense_prediction_cell", load_cell), ("genotype", load_genotype)):
        if isinstance(loaded.get(name), (str, os.PathLike)):
            loaded[name] = load(loaded[name])
    return loaded


def inference_config(options: Mapping[str, Any]) -> InferenceConfig:
    """Returns the configuration of the prediction; raises the errors of `model_config`."""
    return config_of(InferenceConfig, options)


def config_of(config: type[AnyConfig], options: Mapping[str, Any]) -> AnyConfig:
    """Returns a configuration of that class from its fields by name, whose types are checked like those of a file."""
    check_names(options, config)
    return config.from_json({name: encode(value) for name, value in options.items()})


def check_names(options: Iterable[str], *configs: type[Config]) -> None:
    """Raises a TypeError for an option that is not a field of the configurations."""
    names = [field.name for config in configs for field in dataclasses.fields(config)]
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, names)
            known = f"did you mean {' or '.join(near)}?" if near else f"the options are {', '.join(names)}."
            raise TypeError(f"There is no option {name!r}; {known}")
