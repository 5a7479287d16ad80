"""The configuration of prediction."""

import dataclasses
from typing import ClassVar

from deeplab_dpc.config.base import Choices, Config, finite, listed
from deeplab_dpc.errors import UserError

INFERENCE_DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class InferenceConfig(Config):
    """The options of prediction, shared by prediction, evaluation and export.

    Attributes:
      eval_crop_size: height and width in pixels to which images are padded; by default the smallest size that fits.
      eval_scales: scales of the image; the probabilities of all scales are averaged at the image's size.
      add_flipped_images: whether each scale is also predicted flipped left to right.
      sliding_window: height and width in pixels of the windows in which larger images are predicted; by default images
        are predicted whole.
      window_overlap: smallest overlap of neighbouring windows as a fraction of a window, in [0, 1).
      inference_dtype: precision of the network's activations: float32 or bfloat16.
      fold_batch_norm: whether batch norm is folded into the convolutions, which is faster and gives the same result
        except for rounding.
    """

    CHOICES: ClassVar[Choices] = {"inference_dtype": INFERENCE_DTYPES}

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
                raise UserError(f"--{name} must be HEIGHT,WIDTH in pixels, got {listed(size)}.")
        finite("eval_scales", *self.eval_scales)
        if not self.eval_scales or min(self.eval_scales) <= 0:
            raise UserError(f"--eval_scales must be numbers greater than 0, got {listed(self.eval_scales)}.")
        if not 0 <= self.window_overlap < 1:
            raise UserError(f"--window_overlap must be in [0, 1), got {self.window_overlap}.")
        self.check_choices()
        if self.sliding_window and self.eval_crop_size:
            raise UserError(
                "Give only one of --sliding_window and --eval_crop_size: with the former the network sees windows."
            )

    @property
    def averages(self) -> bool:
        """Returns whether several predictions of an image are averaged."""
        return self.eval_scales != (1.0,) or self.add_flipped_images
