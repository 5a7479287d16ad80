"""The base class of the backbones: a chain of layers, some of which also return low-level features for the decoder."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers.composite import Composite, chained
from deeplab_dpc.layers.drop_path import DropPath, keep_probabilities
from deeplab_dpc.layers.types import Shape, Tensor

OUTPUT_STRIDES = (8, 16, 32)
CHECKED_SIDE = 512  # side of the image on which strides are checked, minus 1, in pixels
# Fields of ModelConfig that only some backbones have, and their flags.
BACKBONE_OPTIONS = {
    "depth_multiplier": "depth_multiplier",
    "divisible_by": "divisible_by",
    "multi_grid": "multi_grid",
    "genotype": "genotype_json",
    "nas_stem_output_num_conv_filters": "nas_stem_output_num_conv_filters",
}


def atrous_rates(strides: Sequence[int], output_stride: int, stride_so_far: int) -> list[tuple[int, int]]:
    """Returns the (stride, rate) of each unit such that the whole network does not stride beyond `output_stride`.

    Once the output stride is reached, units keep stride 1 and use the current rate, which is then multiplied by the
    stride that was left out (arXiv:1706.05587, Sec. 3.1).

    Args:
      strides: strides of the units of the plain network.
      output_stride: output stride of the features, in pixels.
      stride_so_far: stride of the first unit's input, in pixels.
    """
    rate = 1
    result = []
    for stride in strides:
        if stride_so_far == output_stride:
            result.append((1, rate))
            rate *= stride
        else:
            result.append((stride, 1))
            stride_so_far *= stride
    return result


def _shown(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


class Unit(Composite):
    """A unit of a backbone; a tapped unit returns (output, low-level features), any other unit its output.

    Args:
      tapped: bool, whether the low-level features are returned too.
      drop_path_keep_prob: probability that the residual branch is kept in training, in (0, 1].
    """

    has_residual = True  # whether there is a branch that is added to a shortcut

    def __init__(self, tapped: bool = False, drop_path_keep_prob: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.tapped = tapped
        self.set_drop_path(drop_path_keep_prob)

    def set_drop_path(self, keep_prob: float) -> None:
        """Sets the probability that the residual branch is kept; for units that are not built yet."""
        self.drop_path_keep_prob = keep_prob
        self.drop_path = DropPath(keep_prob, name="drop_path", dtype=self.dtype_policy) if keep_prob < 1 else None

    def dropped(self, residual: Any, training: bool) -> Any:
        """Returns the residual branch after drop path, to be added to the shortcut."""
        return residual if self.drop_path is None else self.drop_path(residual, training=training)

    def low_level_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the low-level features."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tapped": self.tapped, "drop_path_keep_prob": self.drop_path_keep_prob}


class Backbone(Composite):
    """The base class of the backbones: normalised images [batch, height, width, 3] -> (features at the output stride,
    low-level features).

    The low-level features are a tuple, one item for each of `low_level_strides`. A subclass passes its layers to
    `assemble` in its constructor and names its published scope; its options are constructor arguments named like the
    fields of ModelConfig.

    Args:
      output_stride: output stride of the features, 8, 16 or 32 pixels.
      low_level_strides: strides of the low-level features, in pixels.
      batch_norm_decay: decay of the moving averages; by default the published one.
      drop_path_keep_prob: probability that the last residual unit is kept in training; it is higher for the units
        before it.

    Raises:
      UserError: if the backbone does not support a stride or an option.
    """

    SCOPE: ClassVar[str]  # scope of the variables in published checkpoints
    BATCH_NORM_DECAY: ClassVar[float]
    BATCH_NORM_EPSILON: ClassVar[float]
    OPTIONS: ClassVar[tuple[str, ...]] = ()  # fields of ModelConfig that it takes as arguments, beside output_stride
    LOW_LEVEL: ClassVar[dict[int, int]]  # stride in pixels -> index of the unit that gives those low-level features

    def __init__(
        self,
        output_stride: int = 16,
        low_level_strides: tuple[int, ...] = (),
        batch_norm_decay: float | None = None,
        drop_path_keep_prob: float = 1.0,
        **kwargs: Any,
    ):
        kwargs.setdefault("name", self.SCOPE)
        super().__init__(
            self.BATCH_NORM_DECAY if batch_norm_decay is None else batch_norm_decay, self.BATCH_NORM_EPSILON, **kwargs
        )
        self.check_output_stride(output_stride)
        taps = self.low_level_layers()
        unknown = [stride for stride in low_level_strides if stride not in taps]
        if unknown:
            known = ", ".join(map(str, sorted(taps)))
            raise UserError(
                f"--decoder_output_stride={unknown[0]} is not one of {known}, where low-level features are."
            )
        self.output_stride = output_stride
        self.low_level_strides = tuple(low_level_strides)
        self.drop_path_keep_prob = drop_path_keep_prob
        self.layers: list[Any] = []

    def check_output_stride(self, output_stride: int) -> None:
        """Raises a UserError if the backbone cannot have that output stride."""
        if output_stride not in OUTPUT_STRIDES:
            raise UserError(f"--output_stride must be one of {OUTPUT_STRIDES}, got {output_stride}.")

    def low_level_layers(self) -> dict[int, int]:
        """Returns the layers of the low-level features: stride in pixels -> index of the layer."""
        return self.LOW_LEVEL

    @classmethod
    def from_model_config(
        cls, config: ModelConfig, batch_norm_decay: float | None = None, drop_path_keep_prob: float = 1.0
    ) -> Self:
        """Returns the backbone that a model's configuration describes.

        Raises:
          UserError: if the configuration sets an option that this backbone does not have.
        """
        for field in dataclasses.fields(config):
            if field.name in BACKBONE_OPTIONS and field.name not in cls.OPTIONS:
                value = getattr(config, field.name)
                if value != field.default:
                    shown = "" if isinstance(value, Genotype) else f"={_shown(value)}"
                    raise UserError(
                        f"--{BACKBONE_OPTIONS[field.name]}{shown} has no meaning for "
                        f"--model_variant={config.model_variant}; leave it out."
                    )
        return cls(
            output_stride=config.output_stride,
            low_level_strides=config.decoder_output_stride,
            batch_norm_decay=batch_norm_decay,
            drop_path_keep_prob=drop_path_keep_prob,
            **{name: getattr(config, name) for name in cls.OPTIONS},
        )

    def normalised(self, images: Tensor) -> Tensor:
        """Returns float32 images with values 0..255 as the backbone expects them; ModelConfig.mean_pixel becomes 0."""
        return images * (2.0 / 255.0) - 1.0

    def assemble(self, layers: list[Any]) -> None:
        """Stores the layers of the chain, in order, and sets the drop path of their residual units.

        Raises:
          ValueError: if low-level features do not have the stride that LOW_LEVEL states.
        """
        self.layers = layers
        units = [unit for unit in self.units() if unit.has_residual]
        for unit, keep_prob in zip(units, keep_probabilities(self.drop_path_keep_prob, len(units)), strict=True):
            unit.set_drop_path(keep_prob)
        self._check_low_level()

    def _check_low_level(self) -> None:
        units = self.units()
        shapes = {layer.name: shape for layer, shape in self.steps((None, CHECKED_SIDE + 1, CHECKED_SIDE + 1, 3))}
        for stride, index in self.LOW_LEVEL.items():
            if index >= len(units):
                raise ValueError(f"LOW_LEVEL of {type(self).__name__} has unit {index} of {len(units)} units.")
            side = units[index].low_level_shape(shapes[units[index].name])[1]
            found = CHECKED_SIDE // (side - 1)
            if found != min(stride, self.output_stride):
                raise ValueError(
                    f"LOW_LEVEL of {type(self).__name__} has unit {index} at stride {stride}, and its low-level "
                    f"features are at stride {found}."
                )

    def tapped_units(self) -> list[int]:
        """Returns the indices of the units with low-level features, in the order of `low_level_strides`."""
        return [self.LOW_LEVEL[stride] for stride in self.low_level_strides]

    def steps(self, input_shape: Shape) -> list[tuple[Any, Shape]]:
        return chained(self.layers, input_shape)

    def call(
        self, inputs: Tensor, training: bool = False, progress: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Returns the outputs; `progress` of the training, in [0, 1], is for scheduled drop path, which this class does
        not use.
        """
        x = inputs
        tapped = {}
        for layer in self.layers:
            x = layer(x, training=training)
            if isinstance(layer, Unit) and layer.tapped:
                x, tapped[layer.name] = x
        units = self.units()
        return x, tuple(tapped[units[index].name] for index in self.tapped_units())

    def units(self) -> list[Unit]:
        """Returns the units, in order."""
        return [layer for layer in self.layers if isinstance(layer, Unit)]

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, tuple[Shape, ...]]:
        shapes = {layer.name: shape for layer, shape in self.steps(input_shape)}
        units = self.units()
        low_level = tuple(units[i].low_level_shape(shapes[units[i].name]) for i in self.tapped_units())
        last, shape = self.steps(input_shape)[-1]
        return last.compute_output_shape(shape), low_level

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["batch_norm_epsilon"]
        return {
            **config,
            "output_stride": self.output_stride,
            "low_level_strides": self.low_level_strides,
            "drop_path_keep_prob": self.drop_path_keep_prob,
            **{name: getattr(self, name) for name in self.OPTIONS},
        }
