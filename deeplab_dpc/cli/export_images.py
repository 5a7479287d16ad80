"""The images for an export: those for its check, and those that calibrate the ranges of int8."""

from collections.abc import Iterator

import numpy as np

from deeplab_dpc.api.loaded import LoadedModel
from deeplab_dpc.cli.flags.export import CHECK_SPLIT, ImageFlags
from deeplab_dpc.cli.run_dataset import data_config, dataset_of_run
from deeplab_dpc.config import DataConfig
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.found_images import find_images
from deeplab_dpc.data.image_files import decode_image
from deeplab_dpc.data.spread import spread_images
from deeplab_dpc.errors import UserError

NamedImage = tuple[str, np.ndarray]


class ExportImages:
    """The images that the flags name.

    Args:
      flags: flags of images.
      loaded: network, with its run directory.

    Raises:
      UserError: if a number of images is less than 1.
    """

    def __init__(self, flags: ImageFlags, loaded: LoadedModel):
        for name in ("num_check_images", "num_calibration_images"):
            if getattr(flags, name) < 1:
                raise UserError(f"--{name} must be at least 1, got {getattr(flags, name)}.")
        self._flags = flags
        self._loaded = loaded

    def check(self) -> list[NamedImage]:
        """Returns (name, image uint8 [height, width, 3]) of each image for the comparison.

        Raises:
          UserError: if there are none.
        """
        if self._flags.check_images is not None:
            return list(_images_of("check_images", self._flags.check_images))
        dataset = self._dataset("--check_images=FOLDER (a few images to compare the export on), or --nocheck")
        return list(spread_images(dataset, self._check_split(dataset), self._flags.num_check_images))

    def calibration(self) -> Iterator[NamedImage]:
        """Returns the images that calibrate int8, in the same form.

        Raises:
          UserError: if there are none.
        """
        if self._flags.calibration_images is not None:
            return _images_of("calibration_images", self._flags.calibration_images)
        dataset = self._dataset("--calibration_images=FOLDER (about a hundred images)")
        split = self._data_config().train_split
        return spread_images(dataset, split, self._flags.num_calibration_images)

    def largest(self) -> tuple[int, int]:
        """Returns the (height, width) in pixels that contains every image of the data set."""
        dataset = self._dataset("--export_size=HEIGHT,WIDTH (a TFLite model takes images of one size)")
        return dataset.max_size(",".join(dataset.info.splits))

    def _check_split(self, dataset: Dataset) -> str:
        return CHECK_SPLIT if CHECK_SPLIT in dataset.info.splits else self._data_config().train_split

    def _data_config(self) -> DataConfig:
        return data_config(self._loaded.workdir)  # type: ignore[arg-type]  # _dataset comes first

    def _dataset(self, instead: str) -> Dataset:
        if self._loaded.workdir is None:
            raise UserError(f"A published checkpoint comes without images; give {instead}.")
        return dataset_of_run(self._loaded.workdir, instead)


def _images_of(flag: str, images: str) -> Iterator[NamedImage]:
    files = find_images(images, flag=flag, are_written=False)
    return ((file.name, decode_image(file.path, str(file.path))) for file in files)
