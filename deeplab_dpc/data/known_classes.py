"""The classes of published checkpoints, which themselves contain only the number of classes. Needs no TensorFlow."""

import dataclasses

from deeplab_dpc.data.cityscapes_labels import CLASSES as CITYSCAPES
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Color, pascal_palette

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

# The first synonym of each class, as in objectInfo150.txt of the benchmark; the name of id 0 is added below.
_ADE20K_CLASSES = """
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth,
    door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug,
    field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column,
    signboard, chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path,
    stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table,
    toilet, flower, book, hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar,
    arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth, television
    receiver, airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, poster,
    stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, basket,
    waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal,
    bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan,
    pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag
"""
ADE20K_CLASS_NAMES = ("other", *" ".join(_ADE20K_CLASSES.split()).split(", "))


@dataclasses.dataclass(frozen=True)
class KnownClasses:
    """The classes of a data set on which published checkpoints were trained.

    Attributes:
      dataset: title of the data set.
      names, palette: names and colours by class id.
      ignore_label: id of unlabelled pixels.
    """

    dataset: str
    names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_label: int = DEFAULT_IGNORE_LABEL


_KNOWN = (
    KnownClasses("PASCAL VOC 2012", VOC_CLASS_NAMES, pascal_palette(len(VOC_CLASS_NAMES))),
    KnownClasses("Cityscapes", tuple(row.name for row in CITYSCAPES), tuple(row.color for row in CITYSCAPES)),
    KnownClasses("ADE20K", ADE20K_CLASS_NAMES, pascal_palette(len(ADE20K_CLASS_NAMES)), ignore_label=0),
)


def known_classes(num_classes: int) -> KnownClasses | None:
    """Returns the classes of the published checkpoints' data set with `num_classes` classes; None if there is none."""
    return next((known for known in _KNOWN if len(known.names) == num_classes), None)
