"""The classes of published checkpoints, which themselves say only how many there are. Needs no TensorFlow."""

import dataclasses

from deeplab_dpc.data.cityscapes_labels import CLASSES as CITYSCAPES
from deeplab_dpc.data.dataset_info import Color, pascal_palette

VOC_CLASS_NAMES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


@dataclasses.dataclass(frozen=True)
class KnownClasses:
    """The classes of a data set that published checkpoints were trained on.

    Attributes:
      dataset: its name, for people.
      names, palette: by class id.
    """

    dataset: str
    names: tuple[str, ...]
    palette: tuple[Color, ...]


_KNOWN = (
    KnownClasses("PASCAL VOC 2012", VOC_CLASS_NAMES, pascal_palette(len(VOC_CLASS_NAMES))),
    KnownClasses("Cityscapes", tuple(row.name for row in CITYSCAPES), tuple(row.color for row in CITYSCAPES)),
)


def known_classes(num_classes: int) -> KnownClasses | None:
    """Returns the classes of the data set of published checkpoints that has so many; None where there is none."""
    return next((known for known in _KNOWN if len(known.names) == num_classes), None)
