"""Auto-DeepLab, retrained (Liu et al., CVPR 2019, arXiv:1901.02985, Sec. 4.1 and Table 2), with any cell and path.

The published code (tensorflow/models, research/deeplab/core/nas_network.py) has one genotype and one path.
"""

from typing import Any, ClassVar

import keras
from keras import ops

from deeplab_dpc.arch.genotype import STRIDES, Genotype
from deeplab_dpc.arch.library import published_genotype
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers.conv import ConvBN
from deeplab_dpc.layers.drop_path import keep_probabilities
from deeplab_dpc.layers.genotype_cell import GenotypeCell, named_conv
from deeplab_dpc.layers.types import Shape, Tensor
from deeplab_dpc.models.backbones.backbone import Backbone

STEM_FILTERS = (64, 64, 128)
STEM_STRIDE = 4


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class AutoDeepLab(Backbone):
    """The backbone of Auto-DeepLab: a stem to stride 4, then a cell for each level of the path.

    A cell reads the outputs of the two cells before it, without a ReLU. For the first cell these are the outputs of the
    stem's second convolution, at stride 2, and its third. The features are the last cell's output after a ReLU. The
    low-level features of a stride are the output of the last cell at that stride, before the ReLU and excluding the
    very last cell; at stride 4 they are the stem's output if there is no such cell. For the published path this is the
    third cell, as published.

    Args:
      genotype: blocks and path, or their JSON; None for the published genotype.
      nas_stem_output_num_conv_filters: channels of a block at stride 4; they double with the stride.
      output_stride: output stride in pixels, which must be that of the path; None for that of the path.
      drop_path_keep_prob: probability that an operator of the last cell is kept at the end of the training; it is
        higher in earlier cells and earlier in the training.

    The other arguments are those of Backbone.
    """

    SCOPE = "hnasnet"
    BATCH_NORM_DECAY = 0.9997
    BATCH_NORM_EPSILON = 1e-3
    OPTIONS: ClassVar[tuple[str, ...]] = ("genotype", "nas_stem_output_num_conv_filters")
    LOW_LEVEL: ClassVar[dict[int, int]] = {}  # depends on the path, see low_level_layers

    def __init__(
        self,
        genotype: Genotype | dict[str, Any] | None = None,
        nas_stem_output_num_conv_filters: int = 20,
        output_stride: int | None = None,
        **kwargs: Any,
    ):
        if genotype is None:
            genotype = published_genotype()
        self.genotype = genotype if isinstance(genotype, Genotype) else Genotype.from_json(genotype)
        super().__init__(output_stride=output_stride or self.genotype.output_stride, **kwargs)
        self.nas_stem_output_num_conv_filters = nas_stem_output_num_conv_filters
        self.stem = [
            named_conv(filters, 3, f"conv{i}", f"conv{i}_bn", strides=1 if i == 1 else 2, **self.shared_arguments)
            for i, filters in enumerate(STEM_FILTERS)
        ]
        self.cells = self._cells()
        self.layers: list[ConvBN | GenotypeCell] = [*self.stem, *self.cells]

    def _cells(self) -> list[GenotypeCell]:
        path, blocks = self.genotype.path, len(self.genotype.blocks)
        # Channels and strides of H(l-2) and H(l-1), beginning with the stem.
        channels, strides = list(STEM_FILTERS[1:]), [STEM_STRIDE // 2, STEM_STRIDE]
        keep_probs = keep_probabilities(self.drop_path_keep_prob, len(path))
        cells = []
        for index, (level, keep_prob) in enumerate(zip(path, keep_probs, strict=True)):
            filters = self.nas_stem_output_num_conv_filters * 2**level
            change = level - (path[index - 1] if index else 0)
            cells.append(
                GenotypeCell(
                    self.genotype,
                    filters,
                    before_previous_channels=channels[-2],
                    level_change=change,
                    # After upsampling to 2 * side - 1, sizes may differ at the same stride.
                    resizes_before_previous=change == -1 or strides[-2] != strides[-1],
                    drop_path_keep_prob=keep_prob,
                    name=f"cell_{index}",
                    **self.shared_arguments,
                )
            )
            channels.append(blocks * filters)
            strides.append(STRIDES[level])
        return cells

    def check_output_stride(self, output_stride: int) -> None:
        if output_stride != self.genotype.output_stride:
            raise UserError(
                f"--output_stride={output_stride} is not that of the genotype, whose path ends at stride "
                f"{self.genotype.output_stride}: leave the flag out, or pass --output_stride="
                f"{self.genotype.output_stride}."
            )

    def low_level_layers(self) -> dict[int, int]:
        taps = {STEM_STRIDE: len(STEM_FILTERS) - 1}
        for index, level in enumerate(self.genotype.path[:-1]):
            taps[STRIDES[level]] = len(STEM_FILTERS) + index
        return {stride: layer for stride, layer in taps.items() if stride <= self.genotype.output_stride}

    def steps(self, input_shape: Shape) -> list[tuple[Any, Any]]:
        shapes = self._output_shapes(input_shape)
        before = [input_shape, *shapes[: len(STEM_FILTERS) - 1]]
        pairs = [(shapes[i - 1], shapes[i - 2]) for i in range(len(STEM_FILTERS), len(self.layers))]
        return list(zip(self.layers, [*before, *pairs], strict=True))

    def _output_shapes(self, input_shape: Any) -> list[Any]:
        """Returns the output shape of each layer."""
        shapes = [input_shape]
        for conv in self.stem:
            shapes.append(conv.compute_output_shape(shapes[-1]))
        for cell in self.cells:
            shapes.append(cell.compute_output_shape((shapes[-1], shapes[-2])))
        return shapes[1:]

    def call(
        self, inputs: Tensor, training: bool = False, progress: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        outputs = [self.stem[0](inputs, training=training)]
        for conv in self.stem[1:]:
            outputs.append(conv(ops.relu(outputs[-1]), training=training))
        for cell in self.cells:
            outputs.append(cell((outputs[-1], outputs[-2]), training=training, progress=progress))
        taps = self.low_level_layers()
        return ops.relu(outputs[-1]), tuple(outputs[taps[stride]] for stride in self.low_level_strides)

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, tuple[Shape, ...]]:
        shapes, taps = self._output_shapes(input_shape), self.low_level_layers()
        return shapes[-1], tuple(shapes[taps[stride]] for stride in self.low_level_strides)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "genotype": self.genotype.to_json()}


class _Sized(AutoDeepLab):
    OPTIONS = ("genotype",)
    FILTERS: ClassVar[int]

    def __init__(self, **kwargs: Any):
        super().__init__(nas_stem_output_num_conv_filters=self.FILTERS, **kwargs)


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class AutoDeepLabS(_Sized):
    """Auto-DeepLab-S, with 20 filters; see AutoDeepLab."""

    FILTERS = 20


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class AutoDeepLabM(_Sized):
    """Auto-DeepLab-M, with 32 filters; see AutoDeepLab."""

    FILTERS = 32


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class AutoDeepLabL(_Sized):
    """Auto-DeepLab-L, with 48 filters; see AutoDeepLab."""

    FILTERS = 48
