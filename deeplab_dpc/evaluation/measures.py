"""Measures (ways to count pixels), and their metrics with confidence intervals."""

import dataclasses

import numpy as np

from deeplab_dpc.evaluation.bootstrap import Bootstrap, interval
from deeplab_dpc.evaluation.class_sums import SUMMARIES, ClassSums
from deeplab_dpc.evaluation.image_counts import ImageCounts


@dataclasses.dataclass(frozen=True)
class Measure:
    """A way to count pixels, and the names of its metrics in metrics.json.

    Attributes:
      key: key of the counts in per_image.npz.
      title: title of the mean IoU in tables.
      mean: name of the metric that is the mean IoU.
      each: name of the metrics that are the IoU of each class or category.
      summarised: bool, whether the accuracies and the weighted IoU are metrics, too.
    """

    key: str
    title: str
    mean: str
    each: str
    summarised: bool = False

    def scores(self, sums: ClassSums) -> dict[str, np.ndarray]:
        """Returns the metrics by name: means [...], and the IoU of each class or category [..., classes]."""
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
      measure: the measure.
      names: names of the classes or categories.
      setting: dilation ratio or width of the measure; 0 if it has none.
      counts: counts of the images.
    """

    measure: Measure
    names: tuple[str, ...]
    setting: float
    counts: ImageCounts


@dataclasses.dataclass(frozen=True)
class MetricInterval:
    """A metric with its 95 % interval, in [0, 1].

    Attributes:
      value: value of the metric; nan for an absent class.
      low, high: bounds of the interval; nan for an absent class, or if there is only one image.
    """

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Metrics:
    """The metrics of one measure.

    Attributes:
      summary: metrics that are one number, by name.
      each: IoU by class or category.
    """

    summary: dict[str, MetricInterval]
    each: dict[str, MetricInterval]


def metrics_of(measured: Measured, bootstrap: Bootstrap) -> Metrics:
    """Returns the metrics over all images, with intervals from their resamples."""
    measure, counts = measured.measure, measured.counts
    scores = measure.scores(counts.sums())
    if len(counts.names) > 1:
        bounds = {name: interval(values) for name, values in measure.scores(bootstrap.sums(counts)).items()}
    else:
        bounds = {name: np.full((2, *values.shape), np.nan) for name, values in scores.items()}
    each = measure.each
    return Metrics(
        {name: MetricInterval(float(scores[name]), *map(float, bounds[name])) for name in scores if name != each},
        {
            name: MetricInterval(float(value), float(low), float(high))
            for name, value, low, high in zip(measured.names, scores[each], *bounds[each], strict=True)
        },
    )
