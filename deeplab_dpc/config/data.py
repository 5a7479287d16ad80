"""The configuration of records and their augmentation."""

import dataclasses
from typing import ClassVar

from deeplab_dpc.config.base import Choices, Config, not_negative, positive
from deeplab_dpc.errors import UserError

CACHE_MODES = ("none", "memory", "disk")  # where decoded pictures are kept


@dataclasses.dataclass(frozen=True)
class DataConfig(Config):
    """The records to train on, and their augmentation.

    Attributes:
      data_dir: folder that contains the prepared data set.
      dataset: name of the data set, or None if it is the only one there.
      classes: names, or a file of names, for DeepLab's record files without a classes.json beside them.
      train_split: split to train on; several with commas between are one, and `train:3,train_extra` has each image
        of train three times in an epoch. `trainval` is `train,val` where there is no split of that name.
      train_crop_size: (height, width) in pixels, sides output_stride * k + 1 (see ModelConfig.alignment).
      min_scale_factor, max_scale_factor, scale_factor_step_size: range of the random scale and distance between its
        values; 0 draws uniformly from the range.
      min_resize_value: length in pixels to which the shorter side is resized before the random scale; by default images
        keep their size.
      max_resize_value: largest length in pixels of the longer side after that; images that would exceed it are scaled
        down to it.
      resize_factor: number to a multiple of which, plus 1, the resized sides are rounded up.
      photometric_jitter: largest relative change of brightness, contrast and saturation; 0 for none.
      cache: place of the decoded pictures: none (decoded each time), memory, or disk (a raw file beside the records).
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
