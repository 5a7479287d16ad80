"""Claiming a directory for a run: its configuration and its data are written once and compared at every start."""

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
    """Writes config.json and dataset.json, or compares those that are there.

    A data set that was moved goes on under its new --data_dir, since its records are known by their digests.

    Args:
      workdir: the run directory, made if it is absent.
      sections, extendable: see open_run.
      dataset: that the run reads.
      splits: that it reads.

    Raises:
      UserError: if the directory holds a run of another configuration or on other data.
    """
    is_bound = (workdir / DATASET_FILE).exists() and bool(read_run_data(workdir).digests)
    run_data = bind(workdir, dataset, splits)
    open_run(workdir, sections, [*extendable, *(PLACES if is_bound else ())])
    write_run_data(workdir, run_data)
