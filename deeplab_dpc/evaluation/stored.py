"""per_image.npz: the counts of every image of an evaluation, and its data set; it is read for comparisons."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from deeplab_dpc.checkpoint.run_state import DamageError, read_arrays
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.image_counts import ImageCounts
from deeplab_dpc.evaluation.measures import MEASURES, Measured
from deeplab_dpc.files import atomic_path

PER_IMAGE_FILE = "per_image.npz"

_COUNTS = ("labelled", "predicted", "true_positives")


@dataclasses.dataclass(frozen=True)
class Subject:
    """The data of an evaluation.

    Attributes:
      dataset: name of the data set.
      split: name of the split.
      class_names: class names, one per class id.
      ignore_label: id of pixels that were not counted.
    """

    dataset: str
    split: str
    class_names: tuple[str, ...]
    ignore_label: int


@dataclasses.dataclass(frozen=True)
class StoredEvaluation:
    """The contents of per_image.npz.

    Attributes:
      subject: data of the evaluation.
      measured: counts of the images by measure; the measure by class is first.
    """

    subject: Subject
    measured: tuple[Measured, ...]


def evaluation_folder(parent: str | pathlib.Path, split: str) -> pathlib.Path:
    """Returns the folder of the evaluation of a split, in a run directory or an --eval_logdir."""
    return pathlib.Path(parent) / f"eval_{split}"


def write_evaluation(folder: pathlib.Path, evaluation: StoredEvaluation) -> None:
    """Writes per_image.npz."""
    subject = evaluation.subject
    arrays: dict[str, Any] = {
        "dataset": np.array(subject.dataset),
        "split": np.array(subject.split),
        "class_names": np.array(subject.class_names),
        "ignore_label": np.array(subject.ignore_label),
        "images": np.array(evaluation.measured[0].counts.names),
    }
    for one in evaluation.measured:
        key = one.measure.key
        arrays |= {f"{key}/names": np.array(one.names), f"{key}/setting": np.array(one.setting)}
        arrays |= {f"{key}/{name}": getattr(one.counts, name) for name in _COUNTS}
    with atomic_path(folder / PER_IMAGE_FILE) as partial:
        np.savez_compressed(partial, **arrays)


def read_evaluation(folder: pathlib.Path) -> StoredEvaluation:
    """Reads per_image.npz.

    Raises:
      UserError: if the file is absent or damaged.
    """
    path = folder / PER_IMAGE_FILE
    if not path.exists():
        raise UserError(f"{path} cannot be read: there is no such file.")
    try:
        arrays = read_arrays(path)
        images = tuple(arrays["images"].tolist())
        measured = tuple(
            Measured(
                measure,
                tuple(arrays[f"{measure.key}/names"].tolist()),
                arrays[f"{measure.key}/setting"].item(),
                ImageCounts(images, *(arrays[f"{measure.key}/{name}"] for name in _COUNTS)),
            )
            for measure in MEASURES
            if f"{measure.key}/names" in arrays
        )
        subject = Subject(
            arrays["dataset"].item(),
            arrays["split"].item(),
            tuple(arrays["class_names"].tolist()),
            arrays["ignore_label"].item(),
        )
    except (DamageError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged; evaluate again.") from error
    return StoredEvaluation(subject, measured)
