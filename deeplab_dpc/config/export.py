"""The options of an exported SavedModel."""

import dataclasses

from deeplab_dpc.config.base import Config
from deeplab_dpc.config.inference import InferenceConfig
from deeplab_dpc.errors import UserError

FLOAT32, *_ = TFLITE_TYPES = ("float32", "float16", "int8")
# Share of pixels for which an export must predict the same class as the Keras model.
BFLOAT16_AGREEMENT = 0.995
FLOAT_AGREEMENT = 0.999
INT8_AGREEMENT = 0.97


@dataclasses.dataclass(frozen=True)
class SavedModelOptions(Config):
    """The options of a SavedModel, in addition to those of prediction.

    Attributes:
      export_size: height and width in pixels that all images must have; by default, images may have any size.
      max_side: largest length in pixels of the longer side; larger images are scaled down to it, and the result is
        scaled back.
      argmax_before_upsampling: whether class ids are upsampled instead of the logits, which is faster with many classes
        but gives blocky borders.
      encoded_signature: whether the SavedModel has a signature `encoded`, which takes JPEG and PNG files and returns
        PNG files.
    """

    export_size: tuple[int, int] | tuple[()] = ()
    max_side: int | None = None
    argmax_before_upsampling: bool = False
    encoded_signature: bool = False

    def __post_init__(self) -> None:
        size = self.export_size
        if size and (len(size) != 2 or min(size) < 1):
            raise UserError(f"--export_size must be HEIGHT,WIDTH in pixels, got {','.join(map(str, size))}.")
        if self.max_side is not None and self.max_side < 1:
            raise UserError(f"--max_side must be at least 1 pixel, got {self.max_side}.")

    @property
    def approximates(self) -> bool:
        """Returns whether the result differs from that of the network at the size of the image."""
        return self.max_side is not None or self.argmax_before_upsampling

    def check(self, inference: InferenceConfig, averages: bool = False) -> None:
        """Raises a UserError if the options cannot be combined with those of prediction.

        Args:
          inference: options of prediction.
          averages: bool, whether probabilities are averaged regardless of `inference`, as for several networks.
        """
        if inference.sliding_window:
            raise UserError(
                "--sliding_window is not part of an exported model; give it to deeplab-dpc predict or deeplab-dpc eval "
                "with --exported_model."
            )
        if self.argmax_before_upsampling and (averages or inference.averages):
            raise UserError(
                "--argmax_before_upsampling has no probabilities to average; leave it out, or leave out "
                "--eval_scales and --add_flipped_images, and give one network."
            )
        crop = inference.eval_crop_size
        if crop and self.export_size and (self.export_size[0] > crop[0] or self.export_size[1] > crop[1]):
            raise UserError("--export_size must not be larger than --eval_crop_size, which images are padded to.")
