"""The configuration of a run as frozen values: made from flags, written to config.json, read back by every command."""

import dataclasses
import types
import typing
from collections.abc import Iterable
from typing import Any, Self

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.errors import UserError

CACHE_MODES = ("none", "memory", "disk")  # where decoded pictures are kept
OPTIMIZERS = ("momentum", "adam", "adamw")
LEARNING_POLICIES = ("poly", "step", "cosine")
BURNIN_TYPES = ("none", "linear")
PRECISIONS = ("float32", "bfloat16", "float16")
INFERENCE_DTYPES = ("float32", "bfloat16")


def _listed(numbers: Iterable[float]) -> str:
    return ",".join(map(str, numbers))


def _positive(config: Any, *names: str) -> None:
    for name in names:
        if getattr(config, name) <= 0:
            raise UserError(f"--{name} must be greater than 0, got {getattr(config, name)}.")


def _not_negative(config: Any, *names: str) -> None:
    for name in names:
        if (getattr(config, name) or 0) < 0:
            raise UserError(f"--{name} must not be negative, got {getattr(config, name)}.")


def _one_of(config: Any, name: str, choices: Iterable[str]) -> None:
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
    if isinstance(value, (Cell, Config)):
        return value.to_json()
    return list(value) if isinstance(value, tuple) else value


def _decode(hint: Any, value: Any) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None:
        return None
    for option in options:
        if isinstance(option, type) and issubclass(option, (Cell, Config)):
            return option.from_json(value)
    return tuple(value) if isinstance(value, list) else value


@dataclasses.dataclass(frozen=True)
class ModelConfig(Config):
    """What defines a network, in DeepLab's flag names.

    Attributes:
      num_classes: channels of the logits.
      model_variant: the backbone.
      output_stride: of the features, in pixels.
      depth_multiplier: of the channels of a MobileNet.
      divisible_by: what MobileNetV2's channels are rounded to; by default 8 if the multiplier is 1, else 1 (published).
      multi_grid: three rates of the last block of an Xception or ResNet, times the block's own; empty for none.
      dense_prediction_cell: the cell in place of ASPP, or None. With a cell, the options of ASPP are unused.
      atrous_rates: of the ASPP branches, in feature-map cells; empty for none.
      add_image_level_feature: whether ASPP pools over the image.
      image_pooling_crop_size: (height, width) in pixels that ASPP pools over; empty for the whole image.
      image_pooling_stride: (vertical, horizontal) steps of that window, in feature-map cells.
      aspp_with_separable_conv: whether the ASPP branches are separable convolutions, else full ones.
      aspp_convs_filters: channels of the ASPP branches.
      aspp_with_concat_projection: whether the ASPP branches are projected after their concatenation.
      aspp_with_squeeze_and_excitation: whether image pooling gates the other branches instead of joining them.
      image_se_uses_qsigmoid: whether that gate is the piecewise linear sigmoid.
      decoder_output_stride: strides in pixels of the low-level features, descending; empty for no decoder.
      decoder_filters: channels of the decoder.
      decoder_use_separable_conv: whether the decoder's convolutions are separable, else full ones.
      decoder_use_sum_merge: whether the decoder adds its two inputs, else it concatenates them.
      decoder_output_is_logits: whether the decoder's output is the logits; then decoder_filters is the class count.
    """

    num_classes: int
    model_variant: str = "mobilenet_v2"
    output_stride: int = 16
    depth_multiplier: float = 1.0
    divisible_by: int | None = None
    multi_grid: tuple[int, ...] = ()
    dense_prediction_cell: Cell | None = None
    atrous_rates: tuple[int, ...] = ()
    add_image_level_feature: bool = True
    image_pooling_crop_size: tuple[int, int] | tuple[()] = ()
    image_pooling_stride: tuple[int, int] = (1, 1)
    aspp_with_separable_conv: bool = True
    aspp_convs_filters: int = 256
    aspp_with_concat_projection: bool = True
    aspp_with_squeeze_and_excitation: bool = False
    image_se_uses_qsigmoid: bool = False
    decoder_output_stride: tuple[int, ...] = ()
    decoder_filters: int = 256
    decoder_use_separable_conv: bool = True
    decoder_use_sum_merge: bool = False
    decoder_output_is_logits: bool = False

    def __post_init__(self):
        _positive(self, "num_classes", "depth_multiplier", "aspp_convs_filters", "decoder_filters")
        if self.divisible_by is not None:
            _positive(self, "divisible_by")
        for name, length in (("multi_grid", 3), ("image_pooling_crop_size", 2), ("image_pooling_stride", 2)):
            numbers = getattr(self, name)
            if (numbers or name == "image_pooling_stride") and len(numbers) != length:
                raise UserError(f"--{name} must be {length} integers, got {_listed(numbers)}.")
        for name in (
            "multi_grid",
            "atrous_rates",
            "image_pooling_crop_size",
            "image_pooling_stride",
            "decoder_output_stride",
        ):
            if any(number < 1 for number in getattr(self, name)):
                raise UserError(f"--{name} must be greater than 0, got {_listed(getattr(self, name))}.")
        if self.atrous_rates and self.aspp_with_squeeze_and_excitation and not self.aspp_with_concat_projection:
            raise UserError(
                "--atrous_rates with --aspp_with_squeeze_and_excitation needs --aspp_with_concat_projection."
            )
        self._check_decoder()

    def _check_decoder(self) -> None:
        strides = self.decoder_output_stride
        if list(strides) != sorted(set(strides), reverse=True):
            raise UserError(f"--decoder_output_stride must descend, as in 8,4; got {_listed(strides)}.")
        if strides and strides[0] > self.output_stride:
            raise UserError(
                f"--decoder_output_stride={_listed(strides)} is above --output_stride={self.output_stride}: "
                "the decoder refines features, it does not coarsen them."
            )
        if self.decoder_output_is_logits and not strides:
            raise UserError("--decoder_output_is_logits needs a decoder: pass --decoder_output_stride too.")
        if self.decoder_output_is_logits and self.decoder_filters != self.num_classes:
            raise UserError(
                f"--decoder_filters={self.decoder_filters} must be the number of classes, {self.num_classes}, "
                "with --decoder_output_is_logits."
            )

    @property
    def logits_stride(self) -> int:
        """Of the logits, in pixels: the decoder's last stride, or the features' without a decoder."""
        return self.decoder_output_stride[-1] if self.decoder_output_stride else self.output_stride


@dataclasses.dataclass(frozen=True)
class InferenceConfig(Config):
    """How images are predicted, the same in evaluation, prediction and export.

    Attributes:
      eval_crop_size: height and width in pixels that images are padded to; by default the smallest that fits.
      eval_scales: of the image; the probabilities of all scales are averaged at the image's size.
      add_flipped_images: whether each scale is also predicted left-right reversed.
      sliding_window: height and width in pixels of the windows that larger images are predicted by; by default whole.
      window_overlap: fraction of a window that the next one covers again, in [0, 1).
      inference_dtype: precision of the network's activations: float32 or bfloat16.
      fold_batch_norm: whether batch norm is multiplied into the convolutions; equal but for rounding, and faster.
    """

    eval_crop_size: tuple[int, int] | tuple[()] = ()
    eval_scales: tuple[float, ...] = (1.0,)
    add_flipped_images: bool = False
    sliding_window: tuple[int, int] | tuple[()] = ()
    window_overlap: float = 1 / 3
    inference_dtype: str = "float32"
    fold_batch_norm: bool = True

    def __post_init__(self) -> None:
        for name in ("eval_crop_size", "sliding_window"):
            size = getattr(self, name)
            if size and (len(size) != 2 or min(size) < 1):
                raise UserError(f"--{name} must be HEIGHT,WIDTH in pixels, got {_listed(size)}.")
        if not self.eval_scales or min(self.eval_scales) <= 0:
            raise UserError(f"--eval_scales must be numbers greater than 0, got {_listed(self.eval_scales)}.")
        if not 0 <= self.window_overlap < 1:
            raise UserError(f"--window_overlap must be in [0, 1), got {self.window_overlap}.")
        _one_of(self, "inference_dtype", INFERENCE_DTYPES)
        if self.sliding_window and self.eval_crop_size:
            raise UserError("Give --sliding_window or --eval_crop_size: a window is what the network sees then.")

    @property
    def averages(self) -> bool:
        """Whether several predictions of an image are averaged."""
        return self.eval_scales != (1.0,) or self.add_flipped_images


@dataclasses.dataclass(frozen=True)
class DataConfig(Config):
    """Which records are trained on, and how they are augmented.

    Attributes:
      data_dir: folder that holds the prepared data set.
      dataset: its name, or None if it is the only one there.
      classes: classes file of DeepLab's record files that have none beside them.
      train_split: the split to train on.
      train_crop_size: (height, width) in pixels, sides output_stride * k + 1.
      min_scale_factor, max_scale_factor, scale_factor_step_size: of the random scale; step 0 draws uniformly.
      min_resize_value: what the smaller side is resized to before the random scale, in pixels; as it is by default.
      max_resize_value: what the larger side may be at most after that, in pixels.
      resize_factor: the resized sides become multiples of it plus 1.
      photometric_jitter: largest relative change of brightness, contrast and saturation; 0 for none.
      cache: where decoded pictures are kept: none (decoded each time), memory, or disk (a raw file beside the records).
    """

    data_dir: str
    dataset: str | None = None
    classes: str | None = None
    train_split: str = "train"
    train_crop_size: tuple[int, int] = (513, 513)
    min_scale_factor: float = 0.5
    max_scale_factor: float = 2.0
    scale_factor_step_size: float = 0.25
    min_resize_value: int | None = None
    max_resize_value: int | None = None
    resize_factor: int | None = None
    photometric_jitter: float = 0.0
    cache: str = "none"

    def __post_init__(self):
        _positive(self, "min_scale_factor", "max_scale_factor")
        given = ("min_resize_value", "max_resize_value", "resize_factor")
        _positive(self, *(name for name in given if getattr(self, name) is not None))
        if self.min_resize_value is None and (self.max_resize_value or self.resize_factor):
            raise UserError("--max_resize_value and --resize_factor need --min_resize_value.")
        _not_negative(self, "scale_factor_step_size")
        _one_of(self, "cache", CACHE_MODES)
        if not 0 <= self.photometric_jitter < 1:
            raise UserError(f"--photometric_jitter must be in [0, 1), got {self.photometric_jitter}.")
        if self.min_scale_factor > self.max_scale_factor:
            raise UserError(
                f"--min_scale_factor={self.min_scale_factor} is above --max_scale_factor={self.max_scale_factor}."
            )
        if len(self.train_crop_size) != 2 or min(self.train_crop_size) < 1:
            raise UserError(f"--train_crop_size must be HEIGHT,WIDTH in pixels, got {self.train_crop_size}.")


@dataclasses.dataclass(frozen=True)
class TrainConfig(Config):
    """The training protocol (arXiv:1809.04184, Sec. 4): SGD with momentum and the poly rate.

    Attributes:
      training_number_of_steps: in batches.
      train_batch_size: images in a batch, on all devices together.
      gradient_accumulation_steps: parts that a batch is worked off in, one after another, to save memory.
      optimizer: momentum (SGD), adam, or adamw (weight decay apart from the gradient).
      momentum: of SGD.
      adam_epsilon: of Adam and AdamW.
      learning_policy: poly, step or cosine.
      base_learning_rate: at the first step (after the slow start).
      learning_power: of the poly rate.
      end_learning_rate: at the last step of poly and cosine.
      learning_rate_decay_step, learning_rate_decay_factor: of the step policy, how often the rate falls, and by what.
      slow_start_step, slow_start_learning_rate: a slow start until that step, at or from that rate.
      slow_start_burnin_type: none (the slow start is constant) or linear (it rises to the base rate); by default linear
        for the cosine policy, else none.
      weight_decay: times half the squared norm of every kernel but the depthwise ones.
      clip_gradient_norm: largest norm of the gradient of all variables together; 0 for no clipping.
      last_layer_gradient_multiplier: of the gradients of the last layers.
      last_layers_contain_logits_only: whether the last layers are the logits alone, or context module and decoder too.
      upsample_logits: whether the loss is at the labels' size, else labels are sampled at the logits' size.
      label_weights: of each class in the cross entropy; empty for 1.
      top_k_percent_pixels: share of the pixels of a batch, the hardest, that make the loss, in (0, 1].
      hard_example_mining_step: until which that share falls from 1; 0 to mine from the start.
      focal_loss_weight, focal_loss_gamma: weight of the focal loss beside the cross entropy, and its exponent.
      dice_loss_weight: weight of the dice loss beside the cross entropy.
      fine_tune_batch_norm: False keeps the batch norm statistics, while gamma and beta train.
      freeze_backbone: whether only context module, decoder and logits train.
      drop_path_keep_prob: probability that the backbone's last residual unit is kept, of the others more; 1 for all.
      precision: float32, bfloat16 or float16 (with loss scaling) of the activations; variables, statistics, logits and
        loss are float32.
      tf_initial_checkpoint: published checkpoint or earlier run to start from, or None; `imagenet` downloads the
        MobileNetV2 of Keras.
      fork_from: run directory whose weights, optimizer and step this run goes on from with other flags, or None.
      restore_moving_averages: whether the moving averages of that checkpoint's variables are taken in their place.
      initialize_last_layer: whether the last layers are restored too, where their shapes agree.
      save_interval_steps: between checkpoints.
      log_steps: between rows of metrics.csv.
      eval_interval_steps: between evaluations (the best checkpoint is kept); by default a tenth of the training,
        0 for none.
      eval_split: the split that is evaluated.
      seed: of initialisation, order, augmentation and dropout.
    """

    training_number_of_steps: int = 30000
    train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    optimizer: str = "momentum"
    momentum: float = 0.9
    adam_epsilon: float = 1e-8
    learning_policy: str = "poly"
    base_learning_rate: float = 0.01
    learning_power: float = 0.9
    end_learning_rate: float = 0.0
    learning_rate_decay_step: int = 2000
    learning_rate_decay_factor: float = 0.1
    slow_start_step: int = 0
    slow_start_learning_rate: float = 1e-4
    slow_start_burnin_type: str | None = None
    weight_decay: float = 4e-5
    clip_gradient_norm: float = 0.0
    last_layer_gradient_multiplier: float = 1.0
    last_layers_contain_logits_only: bool = False
    upsample_logits: bool = True
    label_weights: tuple[float, ...] = ()
    top_k_percent_pixels: float = 1.0
    hard_example_mining_step: int = 0
    focal_loss_weight: float = 0.0
    focal_loss_gamma: float = 2.0
    dice_loss_weight: float = 0.0
    fine_tune_batch_norm: bool = True
    freeze_backbone: bool = False
    drop_path_keep_prob: float = 1.0
    precision: str = "float32"
    tf_initial_checkpoint: str | None = None
    fork_from: str | None = None
    restore_moving_averages: bool = False
    initialize_last_layer: bool = True
    save_interval_steps: int = 500
    log_steps: int = 50
    eval_interval_steps: int | None = None
    eval_split: str = "val"
    seed: int = 0

    def __post_init__(self):
        _positive(
            self,
            "training_number_of_steps",
            "train_batch_size",
            "gradient_accumulation_steps",
            "base_learning_rate",
            "learning_rate_decay_step",
            "learning_rate_decay_factor",
            "adam_epsilon",
            "save_interval_steps",
            "log_steps",
        )
        _not_negative(
            self,
            "end_learning_rate",
            "slow_start_step",
            "slow_start_learning_rate",
            "weight_decay",
            "clip_gradient_norm",
            "last_layer_gradient_multiplier",
            "hard_example_mining_step",
            "focal_loss_weight",
            "focal_loss_gamma",
            "dice_loss_weight",
            "eval_interval_steps",
        )
        _one_of(self, "optimizer", OPTIMIZERS)
        _one_of(self, "learning_policy", LEARNING_POLICIES)
        _one_of(self, "precision", PRECISIONS)
        if self.slow_start_burnin_type is not None:
            _one_of(self, "slow_start_burnin_type", BURNIN_TYPES)
        for name in ("top_k_percent_pixels", "drop_path_keep_prob"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(f"--{name} must be in (0, 1], got {getattr(self, name)}.")
        if not 0 <= self.momentum < 1:
            raise UserError(f"--momentum must be in [0, 1), got {self.momentum}.")
        if self.hard_example_mining_step and self.top_k_percent_pixels == 1:
            raise UserError("--hard_example_mining_step has no meaning without --top_k_percent_pixels below 1.")
        if any(weight < 0 for weight in self.label_weights):
            raise UserError(f"--label_weights must not be negative, got {_listed(self.label_weights)}.")
        if self.train_batch_size % self.gradient_accumulation_steps:
            raise UserError(
                f"--train_batch_size={self.train_batch_size} cannot be worked off in "
                f"--gradient_accumulation_steps={self.gradient_accumulation_steps} equal parts."
            )
        if self.restore_moving_averages and not self.tf_initial_checkpoint:
            raise UserError("--restore_moving_averages is for --tf_initial_checkpoint; give that too.")


@dataclasses.dataclass(frozen=True)
class SearchConfig(Config):
    """The search and its proxy task (arXiv:1809.04184, Sec. 3.2, 3.3 and 4.2); the defaults are the paper's.

    Attributes:
      num_candidates: cells to score by proxy.
      num_branches: of each cell.
      uniform_fraction: share of candidates drawn uniformly; the others are neighbours of the best so far.
      num_best: how many of the best so far have neighbours drawn.
      proxy_steps, proxy_batch_size, proxy_learning_rate: of the training on cached features.
      proxy_loss_nodes: quadrature nodes per axis and feature-map cell in the proxy's loss; 0 for the exact loss.
      baselines: names or files of cells scored beside the candidates.
      rerank_top_k: cells that are trained end to end after the search.
      rerank_steps, rerank_batch_size, rerank_learning_rate: of that training.
      rerank_baselines: whether the baselines are trained end to end too.
      eval_split: the split that scores.
      seed: of everything drawn.
    """

    num_candidates: int = 28000
    num_branches: int = 5
    uniform_fraction: float = 0.5
    num_best: int = 10
    proxy_steps: int = 30000
    proxy_batch_size: int = 8
    proxy_learning_rate: float = 0.01
    proxy_loss_nodes: int = 4
    baselines: tuple[str, ...] = ("conv1x1", "aspp", "dpc_top1")
    rerank_top_k: int = 50
    rerank_steps: int = 90000
    rerank_batch_size: int = 8
    rerank_learning_rate: float = 0.01
    rerank_baselines: bool = False
    eval_split: str = "val"
    seed: int = 0

    def __post_init__(self):
        _positive(self, "num_branches", "num_best", "proxy_steps", "proxy_batch_size", "proxy_learning_rate")
        _positive(self, "rerank_steps", "rerank_batch_size", "rerank_learning_rate")
        if not 0.0 <= self.uniform_fraction <= 1.0:
            raise UserError(f"--uniform_fraction must be in [0, 1], got {self.uniform_fraction}.")
        _not_negative(self, "num_candidates", "rerank_top_k", "proxy_loss_nodes")
