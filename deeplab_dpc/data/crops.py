"""The default crop size of a training."""

from deeplab_dpc.arch.fitting import aligned_side
from deeplab_dpc.data.dataset_info import Dataset

MAX_DEFAULT_CROP = 321  # pixels; trained by two CPU cores in a reasonable time. The papers use 513 and 769.


def default_crop(dataset: Dataset, split: str, alignment: int) -> tuple[int, int]:
    """Returns (height, width): the largest sides of a split, limited to MAX_DEFAULT_CROP, rounded up to
    alignment * k + 1.
    """
    height, width = (aligned_side(min(side, MAX_DEFAULT_CROP), alignment) for side in dataset.max_size(split))
    return height, width
