"""The data set of a run, for the commands that work on it after its training."""

import pathlib

from deeplab_dpc.config import DataConfig
from deeplab_dpc.console import console
from deeplab_dpc.data.catalog import NoDatasetError, find_dataset
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.run_data import DATASET_FILE, read_run_data
from deeplab_dpc.errors import UserError
from deeplab_dpc.run_config import read_section, shipped_run


def data_config(workdir: pathlib.Path) -> DataConfig:
    """Returns the data configuration with which a run was trained."""
    return read_section(shipped_run(workdir), "data", DataConfig)


def dataset_of_run(workdir: pathlib.Path, instead: str = "--data_dir with the folder where it is now") -> Dataset:
    """Finds the data set on which a run was trained.

    Args:
      workdir: run directory.
      instead: alternative that the error message suggests if the data set is gone.

    Raises:
      UserError: if the data set no longer exists, or cannot be read.
    """
    data = data_config(workdir)
    try:
        return find_dataset(data.data_dir, data.dataset, data.classes)
    except NoDatasetError as error:
        raise UserError(f"The run's data set is not where it was, in {data.data_dir}; give {instead}.") from error
    except UserError as error:
        raise UserError(f"The run's data set cannot be read ({error}) Give {instead}.") from error


def print_if_rebuilt(workdir: pathlib.Path, dataset: Dataset, split: str) -> None:
    """Prints a message if the records of a split have changed since the training of the run."""
    if not (workdir / DATASET_FILE).exists():
        return
    digest = read_run_data(workdir).digests.get(split)
    if digest is not None and digest != dataset.index(split).digest():
        console.print(f"The split {split} of {dataset.path} has other records than the one that the run has seen.")
