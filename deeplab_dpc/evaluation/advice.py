"""Advice after an evaluation with low scores: one line per class or cause, with the numbers that justify it.

A class gets advice if its IoU is below BAD or absent. It is rare if its share of the training labels is small. It is
small, or larger than the crops, by its average area in the evaluated images that contain it.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from deeplab_dpc.evaluation.class_sums import ClassSums
from deeplab_dpc.evaluation.image_counts import ImageCounts

BAD = 0.5  # IoU
RARE = 0.02  # share of the labelled pixels of the split train; rarer classes are rare
SMALL_CELLS = 2.0  # side of a class's average area in an image, in cells of the feature map
USUAL_STRIDE = 16  # output stride if the network is not known
FALLEN = 0.95  # ratio of the last to the first losses, above which the loss did not fall
FEW_EPOCHS = 5  # after fewer, low scores have no other cause that is known
LEAST_ROWS = 10  # smallest number of losses that show a trend
SHOWN = 5  # number of classes


@dataclasses.dataclass(frozen=True)
class Circumstances:
    """The facts about a network and its training that the advice depends on.

    Attributes:
      split: name of the evaluated split.
      train_shares: share of each class in the labelled pixels of the split train; None if unknown.
      crop: (height, width) of the training crops in pixels; None if unknown.
      output_stride: side of a cell of the feature map, in pixels.
      has_decoder: bool, whether the network has a decoder; None if unknown.
      label_weights: weight of each class, as check_data suggests them for the split train; None if unknown.
      is_weighted: bool, whether the training had label weights.
      epochs: number of times that the training has seen each image; None if unknown.
      losses: losses of the training, in the order of its steps; empty if unknown.
    """

    split: str
    train_shares: Sequence[float] | None = None
    crop: tuple[int, int] | None = None
    output_stride: int = USUAL_STRIDE
    has_decoder: bool | None = None
    label_weights: Sequence[float] | None = None
    is_weighted: bool = False
    epochs: float | None = None
    losses: Sequence[float] = ()

    def is_rare(self, i: int) -> bool:
        """Returns whether a class occurs, but rarely, in the split train; False if its share is unknown."""
        return self.train_shares is not None and 0 < self.train_shares[i] < RARE

    @property
    def is_short(self) -> bool:
        """Returns whether the training was too short to tell other causes; False if its length is unknown."""
        return self.epochs is not None and self.epochs < FEW_EPOCHS


def advice(
    names: Sequence[str], counts: ImageCounts, known: Circumstances, ignored: str | None = None
) -> tuple[str, ...]:
    """Returns the lines of advice: first on the worst classes, then label weights for rare ones, then on the training.

    Args:
      names: names of the classes.
      counts: counts by class of the evaluated images.
      known: facts about the network and its training.
      ignored: name of the class that is never evaluated, or None.
    """
    sums = counts.sums()
    iou = sums.per_class_iou()
    bad = [i for i, name in enumerate(names) if name != ignored and not iou[i] >= BAD]
    bad.sort(key=lambda i: (math.inf if math.isnan(iou[i]) else iou[i], i))
    lines = [_of_class(names[i], i, counts, sums, known) for i in bad[:SHOWN]]
    if len(bad) > SHOWN:
        lines.append(f"{len(bad) - SHOWN} more classes have an IoU below {100 * BAD:.0f} %, or none.")
    has_rare = any(known.is_rare(i) and sums.labelled[i] for i in bad)
    if known.label_weights is not None and not known.is_weighted and has_rare:
        weights = ",".join(f"{weight:g}" for weight in known.label_weights)
        lines.append(
            f"For a new training (train, search or fit) with rare classes weighed: --label_weights={weights} (median "
            "frequency balancing over train, as check_data suggests)."
        )
    if bad and known.is_short:
        lines.append(
            f"The training has seen each image {known.epochs:.1f} times, which is little: train longer first, or start "
            "from a published checkpoint (--tf_initial_checkpoint)."
        )
    elif float(sums.mean_iou()) < BAD and (line := _of_losses(known.losses)):
        lines.append(line)
    return tuple(lines)


def _of_class(name: str, i: int, counts: ImageCounts, sums: ClassSums, known: Circumstances) -> str:
    labelled, predicted = int(sums.labelled[i]), int(sums.predicted[i])
    share = None if known.train_shares is None else known.train_shares[i]
    if not labelled:
        if not predicted:
            return (
                f"{name} occurs in none of the {len(counts.names)} images of {known.split} and was not predicted, so "
                "that nothing is known of it; add images that show it."
            )
        return (
            f"{name} has IoU 0 since it occurs in none of the {len(counts.names)} images of {known.split} and is "
            f"predicted on {predicted:,} pixels; add images that show it, or look at which class is predicted instead."
        )
    images = int((counts.labelled[:, i] > 0).sum())
    what = f"{name} has IoU {100 * float(sums.per_class_iou()[i]):.1f} %"
    if not predicted:
        what = f"{name} has IoU 0: it is never predicted, and {labelled:,} pixels of {_images(images)} it"
    if share == 0:
        return f"{what}; it has 0 pixels in train, so that it cannot be learned: add images that show it."
    causes = _causes(i, math.sqrt(labelled / images), known)
    if not causes and known.is_short:
        return f"{what}."
    if not causes:
        looked = [] if share is None else [f"{100 * share:.1f} % of train"]
        looked.append(f"a square of {math.sqrt(labelled / images):.0f} pixels a side in an image")
        causes = [
            f"with {' and '.join(looked)} it is neither rare nor small: look at its worst images and labels, or train "
            "longer"
        ]
    return f"{what}; {'; '.join(causes)}."


def _images(count: int) -> str:
    return f"{count:,} images show" if count > 1 else "1 image shows"


def _causes(i: int, side: float, known: Circumstances) -> list[str]:
    """Returns the possible causes of a low IoU, each with the flags that may help.

    Args:
      i: class id.
      side: side, in pixels, of a square as large as the class's average area in the images that contain it.
      known: facts about the network and its training.
    """
    causes = []
    if known.train_shares is not None and known.is_rare(i):
        where = "check_data suggests some" if known.label_weights is None else "below"
        cure = ", in spite of the label weights: " if known.is_weighted else f": --label_weights ({where}), or "
        causes.append(
            f"it is rare, {100 * known.train_shares[i]:.2f} % of the labelled pixels of train{cure}more images that "
            "show it"
        )
    cells = side / known.output_stride
    if cells < SMALL_CELLS:
        decoder = "--decoder_output_stride=4, " if known.has_decoder is False else ""
        stride = " or --output_stride=8" if known.output_stride > 8 else ""
        causes.append(
            f"it is small, a square of {cells:.1f} feature cells a side: {decoder}larger images "
            f"(--min_resize_value){stride}"
        )
    if known.crop is not None and side > min(known.crop) and not known.is_short:
        causes.append(
            f"it is larger than the crops, a square of {side:.0f} pixels a side in an image and {known.crop[0]} x "
            f"{known.crop[1]} pixels in a crop: a larger --train_crop_size, or smaller images (--min_resize_value)"
        )
    return causes


def _of_losses(losses: Sequence[float]) -> str:
    """Returns a line on losses that did not fall; an empty text if they fell, or there are too few."""
    if len(losses) < LEAST_ROWS:
        return ""
    count = max(3, len(losses) // 10)
    first, last = float(np.mean(losses[:count])), float(np.mean(losses[-count:]))
    if not last > FALLEN * first:
        return ""
    return (
        f"The loss did not fall: its mean was {first:.3f} in the first {count} rows of metrics.csv and {last:.3f} in "
        "the last; look whether the labels lie on their images (the contact sheet of check_data), or try another "
        "--base_learning_rate."
    )
