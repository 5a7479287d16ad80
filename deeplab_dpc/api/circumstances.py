"""The facts for advice on an evaluation: the data set's counts, the run's crop and its losses."""

import csv
import pathlib

from deeplab_dpc.api.loaded_predictor import LoadedPredictor
from deeplab_dpc.config import DataConfig, TrainConfig
from deeplab_dpc.data.absent_classes import read_label_counts, read_labelled_with
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.label_statistics import class_shares, label_weights
from deeplab_dpc.evaluation.advice import USUAL_STRIDE, Circumstances
from deeplab_dpc.run_config import CONFIG_FILE, read_section

METRICS_FILE = "metrics.csv"
LOSSES = ("cross_entropy", "loss")  # columns, of which the first that exists is read
TRAIN = "train"


def circumstances(loaded: LoadedPredictor, dataset: Dataset, split: str) -> Circumstances:
    """Returns the facts on the data set, the crops and the losses.

    Args:
      loaded: predictor that is evaluated.
      dataset: data set on which it is evaluated.
      split: split of the data set.
    """
    pixels = (read_label_counts(dataset) or {}).get(TRAIN)
    labelled_with = (read_labelled_with(dataset) or {}).get(TRAIN)
    counted = None if pixels is None or labelled_with is None else (pixels, labelled_with)
    config = loaded.network.config if loaded.network is not None else None
    run = loaded.workdir if loaded.workdir is not None and (loaded.workdir / CONFIG_FILE).exists() else None
    rows = _rows(run) if run is not None else []
    return Circumstances(
        split=split,
        train_shares=None if pixels is None else class_shares(pixels, dataset.info),
        label_weights=None if counted is None else label_weights(*counted, dataset.info),
        crop=read_section(run, "data", DataConfig).train_crop_size if run is not None else None,
        output_stride=config.output_stride if config is not None else USUAL_STRIDE,
        has_decoder=bool(config.decoder_output_stride) if config is not None else None,
        is_weighted=run is not None and bool(read_section(run, "train", TrainConfig).label_weights),
        epochs=_epochs(rows, loaded.step),
        losses=_losses(rows),
    )


def _rows(run: pathlib.Path) -> list[dict[str, str]]:
    """Returns the rows of a run's metrics, as text by column; none without the file."""
    path = run / METRICS_FILE
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", errors="replace", newline="") as stream:
        return list(csv.DictReader(stream))


def _epochs(rows: list[dict[str, str]], step: int | None) -> float | None:
    """Returns the number of epochs until a step; None if the table does not have it, see `_losses`."""
    try:
        found = [float(row["epoch"]) for row in rows if row.get("epoch") and int(row["step"]) <= (step or 0)]
    except (KeyError, ValueError):
        return None
    return found[-1] if found else None


def _losses(rows: list[dict[str, str]]) -> list[float]:
    """Returns the losses of a run's rows; none if the table cannot be read, since another program may have made it."""
    column = next((name for name in LOSSES if rows and rows[0].get(name)), None)
    try:
        return [float(row[column]) for row in rows if row.get(column)] if column else []
    except ValueError:
        return []
