"""The configuration of records and their augmentation."""

import dataclasses
from typing import ClassVar

from deeplab_dpc.config.base import Choices, Config, not_negative, positive
from deeplab_dpc.errors import UserError

CACHE_MODES = ("none", "memory", "disk")  # storage of decoded images


@dataclasses.dataclass(frozen=True)
class DataConfig(Config):
    """The records to train on, and their augmentation.

    Attributes:
      data_dir: folder that contains the prepared data set.
      dataset: name of the data set; by default the only one there.
      classes: class names, or a file of class names, for DeepLab's record files without a classes.json beside them.
      train_split: split to train on, or several splits separated by commas; with `train:3,train_extra`, an epoch
        contains each image of train three times. `trainval` means `train,val` if there is no split of that name.
      train_crop_size: height and width of the training crops in pixels, output_stride * k + 1 (see
        ModelConfig.alignment).
      min_scale_factor: smallest factor of the random scale.
      max_scale_factor: largest factor of the random scale.
      scale_factor_step_size: difference between consecutive factors of the random scale; 0 draws uniformly from the
        range.
      min_resize_value: length in pixels to which the shorter side is resized before the random scale; by default images
        keep their size.
      max_resize_value: largest length in pixels of the longer side after the resize to min_resize_value; images that
        would exceed it are scaled down to it.
      resize_factor: number k for which the resized sides are rounded up to multiples of k, plus 1.
      photometric_jitter: largest relative change of brightness, contrast and saturation; 0 for none.
      cache: storage of decoded images: none (decoded each time), memory, or disk (a raw file beside the records).
    """

    CHOICES: ClassVar[Choices] = {"cache": CACHE_MODES}

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

    def __post_init__(self) -> None:
        positive(self, "min_scale_factor", "max_scale_factor")
        given = ("min_resize_value", "max_resize_value", "resize_factor")
        positive(self, *(name for name in given if getattr(self, name) is not None))
        if self.min_resize_value is None and (self.max_resize_value or self.resize_factor):
            raise UserError("--max_resize_value and --resize_factor need --min_resize_value.")
        not_negative(self, "scale_factor_step_size")
        self.check_choices()
        if not 0 <= self.photometric_jitter < 1:
            raise UserError(f"--photometric_jitter must be in [0, 1), got {self.photometric_jitter}.")
        if self.min_scale_factor > self.max_scale_factor:
            raise UserError(
                f"--min_scale_factor={self.min_scale_factor} is above --max_scale_factor={self.max_scale_factor}."
            )
        if len(self.train_crop_size) != 2 or min(self.train_crop_size) < 1:
            raise UserError(f"--train_crop_size must be HEIGHT,WIDTH in pixels, got {self.train_crop_size}.")
