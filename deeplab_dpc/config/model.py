"""The configuration of a network, with DeepLab's flag names."""

import dataclasses

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.arch.library import published_genotype
from deeplab_dpc.config.base import Config, bounded, listed, positive
from deeplab_dpc.errors import UserError

MAX_NUMBER = 2**20  # largest number of channels, classes or pixels, or rate; far above those of any network
# The backbones that are built from a genotype; nas_hnasnet is DeepLab's name.
AUTO_DEEPLABS = ("auto_deeplab", "auto_deeplab_s", "auto_deeplab_m", "auto_deeplab_l", "nas_hnasnet")
# ResNets with the first layer of 7x7; their published networks subtract the mean pixel of ImageNet, without scaling.
PLAIN_RESNETS = ("resnet_v1_50", "resnet_v1_101")
GREY_PIXEL = (127.5, 127.5, 127.5)  # becomes 0 in x * 2 / 255 - 1
IMAGENET_PIXEL = (123.15, 115.9, 103.06)  # mean (red, green, blue) of ImageNet, as published
# The names of the registry in models/backbones, repeated here because the help of the flags does not import Keras.
MODEL_VARIANTS = (
    "mobilenet_v2",
    "mobilenet_v3_large_seg",
    "mobilenet_v3_small_seg",
    "mobilenet_edgetpu",
    "xception_41",
    "xception_65",
    "xception_71",
    *PLAIN_RESNETS,
    "resnet_v1_50_beta",
    "resnet_v1_101_beta",
    *AUTO_DEEPLABS,
)


@dataclasses.dataclass(frozen=True)
class ModelConfig(Config):
    """The configuration of a network, with DeepLab's flag names.

    Attributes:
      num_classes: number of channels of the logits.
      model_variant: backbone of the network.
      output_stride: stride of the features in pixels of the image.
      depth_multiplier: factor of the number of channels of a MobileNet.
      divisible_by: divisor of the numbers of channels of MobileNetV2, which are rounded to its multiples; by default 8
        if depth_multiplier is 1, else 1 (as published).
      multi_grid: three factors of the atrous rate in the last block of an Xception or ResNet; empty for none.
      genotype: genotype of an Auto-DeepLab; by default the published one.
      nas_stem_output_num_conv_filters: number of channels of a block of an Auto-DeepLab at stride 4; it doubles with
        the stride.
      dense_prediction_cell: dense prediction cell in place of ASPP; by default, the network has ASPP. With a cell, the
        options of ASPP are unused.
      atrous_rates: atrous rates of the ASPP branches, in feature-map cells; empty for none.
      add_image_level_feature: whether ASPP has an image pooling branch.
      image_pooling_crop_size: height and width in pixels of the window of image pooling; empty for the whole image.
      image_pooling_stride: vertical and horizontal stride of the window of image pooling, in feature-map cells.
      aspp_with_separable_conv: whether the ASPP branches are separable convolutions instead of full ones.
      aspp_convs_filters: number of channels of each ASPP branch and of their projection.
      aspp_with_concat_projection: whether the ASPP branches are projected after their concatenation.
      aspp_with_squeeze_and_excitation: whether image pooling gates the other branches instead of being concatenated
        with them.
      image_se_uses_qsigmoid: whether the gate of aspp_with_squeeze_and_excitation has a piecewise linear sigmoid.
      decoder_output_stride: strides in pixels of the low-level features of the decoder, descending; empty for no
        decoder.
      decoder_filters: number of channels of the decoder.
      decoder_use_separable_conv: whether the decoder's convolutions are separable instead of full ones.
      decoder_use_sum_merge: whether the decoder adds its two inputs instead of concatenating them.
      decoder_output_is_logits: whether the decoder's output is the logits; decoder_filters must then be the number of
        classes.
    """

    num_classes: int
    model_variant: str = "mobilenet_v2"
    output_stride: int = 16
    depth_multiplier: float = 1.0
    divisible_by: int | None = None
    multi_grid: tuple[int, ...] = ()
    genotype: Genotype | None = None
    nas_stem_output_num_conv_filters: int = 20
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

    def __post_init__(self) -> None:
        bounded(self, MAX_NUMBER)
        positive(self, "num_classes", "depth_multiplier", "aspp_convs_filters", "decoder_filters")
        positive(self, "nas_stem_output_num_conv_filters")
        if self.divisible_by is not None:
            positive(self, "divisible_by")
        for name, length in (("multi_grid", 3), ("image_pooling_crop_size", 2), ("image_pooling_stride", 2)):
            numbers = getattr(self, name)
            if (numbers or name == "image_pooling_stride") and len(numbers) != length:
                raise UserError(f"--{name} must be {length} integers, got {listed(numbers)}.")
        for name in (
            "multi_grid",
            "atrous_rates",
            "image_pooling_crop_size",
            "image_pooling_stride",
            "decoder_output_stride",
        ):
            if any(number < 1 for number in getattr(self, name)):
                raise UserError(f"--{name} must be greater than 0, got {listed(getattr(self, name))}.")
        if self.atrous_rates and self.aspp_with_squeeze_and_excitation and not self.aspp_with_concat_projection:
            raise UserError(
                "--atrous_rates with --aspp_with_squeeze_and_excitation needs --aspp_with_concat_projection."
            )
        self._check_decoder()

    def _check_decoder(self) -> None:
        strides = self.decoder_output_stride
        if list(strides) != sorted(set(strides), reverse=True):
            raise UserError(f"--decoder_output_stride must descend, as in 8,4; got {listed(strides)}.")
        if strides and strides[0] > self.output_stride:
            raise UserError(
                f"--decoder_output_stride={listed(strides)} is above --output_stride={self.output_stride}: "
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
    def searched(self) -> Genotype | None:
        """Returns the genotype of an Auto-DeepLab; None for other networks."""
        if self.model_variant not in AUTO_DEEPLABS:
            return None
        return self.genotype or published_genotype()

    @property
    def mean_pixel(self) -> tuple[float, float, float]:
        """Returns the (red, green, blue) that the network's normalisation maps to 0, which pads images and crops."""
        return mean_pixel(self.model_variant)

    @property
    def alignment(self) -> int:
        """Returns the alignment of image sides: features align with pixels if the sides are alignment * k + 1.

        It is the output stride, or for an Auto-DeepLab the largest stride in its path.
        """
        return self.output_stride if self.searched is None else self.searched.largest_stride


def mean_pixel(model_variant: str) -> tuple[float, float, float]:
    """Returns ModelConfig.mean_pixel of a backbone."""
    return IMAGENET_PIXEL if model_variant in PLAIN_RESNETS else GREY_PIXEL


def check_crop(crop_size: tuple[int, int], model_config: ModelConfig) -> None:
    """Raises a UserError if the features of a crop would not align with its pixels."""
    alignment = model_config.alignment
    if any(side % alignment != 1 for side in crop_size):
        fitting = ",".join(str(max(side - 1, alignment) // alignment * alignment + 1) for side in crop_size)
        stride = f"--output_stride={alignment}"
        if model_config.searched is not None:
            stride = f"the largest stride in the path of --model_variant={model_config.model_variant}, {alignment}"
        raise UserError(
            f"--train_crop_size={crop_size[0]},{crop_size[1]} does not align with {stride}: "
            f"both sides must be a multiple of it plus 1, for example {fitting}."
        )
