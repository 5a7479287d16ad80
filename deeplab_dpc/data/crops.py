"""The default crop of a training."""

from deeplab_dpc.data.dataset_info import Dataset

MAX_DEFAULT_CROP = 321  # pixels; what two CPU cores train in a reasonable time. The papers take 513 and 769.


def default_crop(dataset: Dataset, split: str, alignment: int) -> tuple[int, int]:
    """Returns (height, width) of the largest image of a split, at most MAX_DEFAULT_CROP, as alignment * k + 1."""
    height, width = (
        (min(side, MAX_DEFAULT_CROP) + alignment - 2) // alignment * alignment + 1 for side in dataset.max_size(split)
    )
    return height, width
