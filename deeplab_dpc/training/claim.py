"""Claiming of a run directory: its configuration and data set are written once and compared at every start."""

import pathlib
from collections.abc import Iterable
from typing import Any

from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.run_data import DATASET_FILE, PLACES, bind, read_run_data, write_run_data
from deeplab_dpc.run_config import open_run


def claim(
    workdir: pathlib.Path,
    sections: dict[str, Any],
    extendable: Iterable[str],
    dataset: Dataset,
    splits: Iterable[str],
) -> None:
    """Writes config.json and dataset.json, or compares them with those that exist.

    A data set that was moved is accepted under its new --data_dir, since its records are identified by their digests.

    Args:
      workdir: the run directory, created if it is absent.
      sections, extendable: sections of the configuration, and the fields that a later start may change; see open_run.
      dataset: data set that the run reads.
      splits: splits that the run reads.

    Raises:
      UserError: if the directory holds a run with another configuration or on other data.
    """
    is_bound = (workdir / DATASET_FILE).exists() and bool(read_run_data(workdir).digests)
    run_data = bind(workdir, dataset, splits)
    open_run(workdir, sections, [*extendable, *(PLACES if is_bound else ())])
    write_run_data(workdir, run_data)
