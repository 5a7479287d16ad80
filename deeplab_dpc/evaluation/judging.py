"""What an evaluation counts of each image: what everyone wants, and what is asked for by flags."""

import dataclasses

import numpy as np

from deeplab_dpc.config import Config
from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.bootstrap import Bootstrap
from deeplab_dpc.evaluation.boundary import DILATION_RATIO, boundary_rule, trimap_rule
from deeplab_dpc.evaluation.categories import category_names
from deeplab_dpc.evaluation.image_counts import CountRule, ImageCounter, category_rule, class_rule
from deeplab_dpc.evaluation.measures import AT_BOUNDARY, BY_CATEGORY, BY_CLASS, IN_TRIMAP, Measure, Measured


@dataclasses.dataclass(frozen=True)
class JudgeConfig(Config):
    """What is measured beside mIOU and accuracies, and how the confidence intervals are found.

    Attributes:
      boundary_iou: whether the IoU near contours is measured too (arXiv:2103.16562).
      boundary_dilation_ratio: how far from a contour that is, as a share of the image's diagonal.
      trimap_width: pixels on each side of the labels' contours whose mIOU is measured too; 0 for none.
      bootstrap_resamples: samples of the images that the 95 % intervals come from.
    """

    boundary_iou: bool = False
    boundary_dilation_ratio: float = DILATION_RATIO
    trimap_width: int = 0
    bootstrap_resamples: int = 1000

    def __post_init__(self) -> None:
        if self.trimap_width < 0:
            raise UserError(f"--trimap_width must be a number of pixels, or 0 for none, got {self.trimap_width}.")
        if not 0 < self.boundary_dilation_ratio < 1:
            raise UserError(f"--boundary_dilation_ratio must be in (0, 1), got {self.boundary_dilation_ratio}.")
        if self.boundary_dilation_ratio != DILATION_RATIO and not self.boundary_iou:
            raise UserError("--boundary_dilation_ratio needs --boundary_iou.")

    def bootstrap(self) -> Bootstrap:
        """The samples of the images.

        Raises:
          UserError: if there are too few.
        """
        return Bootstrap(self.bootstrap_resamples)


class Judge:
    """Counts what the configuration asks for; its `add` is an OnImage of evaluator.py.

    Args:
      info: of the data set: classes, categories and ignore label.
      config: what is measured.
    """

    def __init__(self, info: DatasetInfo, config: JudgeConfig):
        classes, ignore_label = info.num_classes, info.ignore_label
        self._counters: list[tuple[Measure, tuple[str, ...], float, ImageCounter]] = []
        self._measure(BY_CLASS, info.class_names, class_rule(classes, ignore_label))
        if info.categories:
            self._measure(BY_CATEGORY, category_names(info.categories), category_rule(info.categories, ignore_label))
        if config.boundary_iou:
            ratio = config.boundary_dilation_ratio
            self._measure(AT_BOUNDARY, info.class_names, boundary_rule(classes, ignore_label, ratio), ratio)
        if config.trimap_width:
            width = config.trimap_width
            self._measure(IN_TRIMAP, info.class_names, trimap_rule(classes, ignore_label, width), width)

    def _measure(self, measure: Measure, names: tuple[str, ...], rule: CountRule, setting: float = 0) -> None:
        self._counters.append((measure, names, setting, ImageCounter(rule)))

    def add(self, name: str, image: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> None:
        """Counts an image."""
        for _, _, _, counter in self._counters:
            counter.add(name, image, label, prediction)

    def measured(self) -> tuple[Measured, ...]:
        """The counts of the images so far, those by class first."""
        return tuple(
            Measured(measure, names, setting, counter.counts()) for measure, names, setting, counter in self._counters
        )
