"""The ways of counting that give metrics, and those metrics with their confidence intervals."""

import dataclasses

import numpy as np

from deeplab_dpc.evaluation.bootstrap import Bootstrap, interval
from deeplab_dpc.evaluation.class_sums import SUMMARIES, ClassSums
from deeplab_dpc.evaluation.image_counts import ImageCounts


@dataclasses.dataclass(frozen=True)
class Measure:
    """A way of counting, and the names of its metrics in metrics.json.

    Attributes:
      key: key of the counts in per_image.npz.
      title: title of its mean, for people.
      mean: the metric that is the mean IoU.
      each: the metrics that are the IoU of each class or category.
      summarised: whether accuracies and weighted IoU are metrics too.
    """

    key: str
    title: str
    mean: str
    each: str
    summarised: bool = False

    def scores(self, sums: ClassSums) -> dict[str, np.ndarray]:
        """Metrics by name: [...] of the means, [..., classes] of the IoU of each."""
        summaries = SUMMARIES if self.summarised else {self.mean: ClassSums.mean_iou}
        return {name: summary(sums) for name, summary in summaries.items()} | {self.each: sums.per_class_iou()}


BY_CLASS = Measure("class", "mIOU", "miou", "per_class_iou", summarised=True)
BY_CATEGORY = Measure("category", "category mIOU", "category_miou", "per_category_iou")
AT_BOUNDARY = Measure("boundary", "boundary mIOU", "boundary_miou", "per_class_boundary_iou")
IN_TRIMAP = Measure("trimap", "trimap mIOU", "trimap_miou", "per_class_trimap_iou")
MEASURES = (BY_CLASS, BY_CATEGORY, AT_BOUNDARY, IN_TRIMAP)
TITLES = {measure.mean: measure.title for measure in MEASURES} | {
    "pixel_accuracy": "pixel accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
}


@dataclasses.dataclass(frozen=True)
class Measured:
    """The counts of one measure.

    Attributes:
      measure: what was counted.
      names: names of the classes or categories.
      setting: the dilation ratio or the width that it was counted with; 0 where there is none.
      counts: counts of the images.
    """

    measure: Measure
    names: tuple[str, ...]
    setting: float
    counts: ImageCounts


@dataclasses.dataclass(frozen=True)
class Figure:
    """A metric with its 95 % interval, in [0, 1].

    Attributes:
      value: nan for a class that is absent.
      low, high: low and high of the interval; nan too where there is only one image to draw from.
    """

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Figures:
    """The metrics of one measure.

    Attributes:
      summary: by the name of the metric.
      each: the IoU by class or category.
    """

    summary: dict[str, Figure]
    each: dict[str, Figure]


def figures(measured: Measured, bootstrap: Bootstrap) -> Figures:
    """Returns the metrics of all images, with intervals from samples of them."""
    measure, counts = measured.measure, measured.counts
    scores = measure.scores(counts.sums())
    if len(counts.names) > 1:
        bounds = {name: interval(values) for name, values in measure.scores(bootstrap.sums(counts)).items()}
    else:
        bounds = {name: np.full((2, *values.shape), np.nan) for name, values in scores.items()}
    each = measure.each
    return Figures(
        {name: Figure(float(scores[name]), *map(float, bounds[name])) for name in scores if name != each},
        {
            name: Figure(float(value), float(low), float(high))
            for name, value, low, high in zip(measured.names, scores[each], *bounds[each], strict=True)
        },
    )
