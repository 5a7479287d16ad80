"""The measures that an evaluation counts: those by class and category, and those that flags request."""

from deeplab_dpc.config import JudgeConfig
from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.evaluation.boundary import boundary_rule, trimap_rule
from deeplab_dpc.evaluation.counted_image import CountedImage
from deeplab_dpc.evaluation.image_counts import CountRule, ImageCounter, by_class, category_names, category_rule
from deeplab_dpc.evaluation.measures import AT_BOUNDARY, BY_CATEGORY, BY_CLASS, IN_TRIMAP, Measure, Measured


class Judge:
    """A counter of all measures in the configuration; its `add` is an OnImage of evaluator.py.

    Args:
      info: metadata of the data set: classes and categories.
      config: configuration of the measures.
    """

    def __init__(self, info: DatasetInfo, config: JudgeConfig):
        self._counters: list[tuple[Measure, tuple[str, ...], float, ImageCounter]] = []
        self._measure(BY_CLASS, info.class_names, by_class)
        if info.categories:
            self._measure(BY_CATEGORY, category_names(info.categories), category_rule(info.categories))
        if config.boundary_iou:
            ratio = config.boundary_dilation_ratio
            self._measure(AT_BOUNDARY, info.class_names, boundary_rule(ratio), ratio)
        if config.trimap_width:
            width = config.trimap_width
            self._measure(IN_TRIMAP, info.class_names, trimap_rule(width), width)

    def _measure(self, measure: Measure, names: tuple[str, ...], rule: CountRule, setting: float = 0) -> None:
        self._counters.append((measure, names, setting, ImageCounter(rule)))

    def add(self, image: CountedImage) -> None:
        """Counts an image for every measure."""
        for _, _, _, counter in self._counters:
            counter.add(image)

    def measured(self) -> tuple[Measured, ...]:
        """Returns the counts of the images added so far, by measure; the measure by class is first."""
        return tuple(
            Measured(measure, names, setting, counter.counts()) for measure, names, setting, counter in self._counters
        )
