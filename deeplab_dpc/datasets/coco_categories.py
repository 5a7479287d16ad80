"""The classes for the categories of COCO annotations: those of PASCAL VOC, or the annotations' own."""

import dataclasses
from collections.abc import Mapping

from deeplab_dpc.console import console
from deeplab_dpc.data.class_rules import check_names
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, pascal_palette
from deeplab_dpc.datasets.coco_json import CocoAnnotations
from deeplab_dpc.datasets.official import COCO_CLASSES
from deeplab_dpc.datasets.segmentation_builder import Classes
from deeplab_dpc.errors import UserError, first_few

BACKGROUND = 0

# The classes of PASCAL VOC, in the order of their ids (from 1), and their names in COCO.
VOC_FROM_COCO = {
    "aeroplane": "airplane",
    "bicycle": "bicycle",
    "bird": "bird",
    "boat": "boat",
    "bottle": "bottle",
    "bus": "bus",
    "car": "car",
    "cat": "cat",
    "chair": "chair",
    "cow": "cow",
    "diningtable": "dining table",
    "dog": "dog",
    "horse": "horse",
    "motorbike": "motorcycle",
    "person": "person",
    "pottedplant": "potted plant",
    "sheep": "sheep",
    "sofa": "couch",
    "train": "train",
    "tvmonitor": "tv",
}
_NAMES = ("background", *VOC_FROM_COCO)
VOC_CLASSES = Classes(names=_NAMES, palette=pascal_palette(len(_NAMES)), ignore_label=DEFAULT_IGNORE_LABEL)

# All categories of COCO 2017: the 80 of instances, and the 53 that panoptic annotations add.
_COCO_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors,
teddy bear, hair drier, toothbrush, banner, blanket, bridge, cardboard, counter, curtain, door-stuff, floor-wood,
flower, fruit, gravel, house, light, mirror-stuff, net, pillow, platform, playingfield, railroad, river, road,
roof, sand, sea, shelf, snow, stairs, tent, towel, wall-brick, wall-stone, wall-tile, wall-wood, water-other,
window-blind, window-other, tree-merged, fence-merged, ceiling-merged, sky-other-merged, cabinet-merged,
table-merged, floor-other-merged, pavement-merged, mountain-merged, grass-merged, dirt-merged, paper-merged,
food-other-merged, building-other-merged, rock-merged, wall-other-merged, rug-merged
"""
COCO_CATEGORIES = frozenset(name.strip() for name in _COCO_NAMES.split(","))


@dataclasses.dataclass(frozen=True)
class Meaning:
    """The meaning of the categories.

    Attributes:
      classes: names and colours of the class ids.
      is_voc: bool, whether the classes are those of PASCAL VOC.
      ids: class id by category id, by split; a category without a class id is background.
    """

    classes: Classes
    is_voc: bool
    ids: dict[str, dict[int, int]]

    @property
    def noun(self) -> str:
        """Returns the name of the classes other than the background, for messages."""
        number = len(self.classes.names) - 1
        return f"the {number} classes" if number > 1 else f"the class {self.classes.names[1]}"


def choose_classes(annotations: Mapping[str, CocoAnnotations], categories: str = "auto") -> Meaning:
    """Chooses the classes of the annotations of some splits, and prints categories that are not COCO's.

    Args:
      annotations: annotations by split.
      categories: one of "voc" (the classes of PASCAL VOC), "own" (all categories of the annotations, by their ids,
        after a background) or "auto" ("own" if there are categories that COCO does not have, and "voc" otherwise).

    Raises:
      UserError: if there is no category of VOC, or the own categories differ between splits or are not valid names of
        classes.
    """
    if categories not in COCO_CLASSES:
        raise UserError(f"--categories must be one of {', '.join(COCO_CLASSES)}, got {categories!r}.")
    named = {name for one in annotations.values() for name in one.categories}
    foreign = sorted(named - COCO_CATEGORIES)
    listed = first_few(foreign, 3)
    if categories == "own" or (categories == "auto" and foreign):
        meaning = _own(annotations)
        if foreign:
            console.print(
                f"The annotations have categories of their own ({listed}), so all of theirs are classes, after a "
                f"background: {', '.join(meaning.classes.names)}. --categories=voc takes only PASCAL VOC's."
            )
        return meaning
    if foreign:
        console.print(f"Not among the classes of PASCAL VOC, and therefore background: {listed}.")
    return Meaning(VOC_CLASSES, True, {split: _voc_ids(one) for split, one in annotations.items()})


def _voc_ids(annotations: CocoAnnotations) -> dict[int, int]:
    """Returns the VOC class id by category id; categories that VOC lacks are absent."""
    ids = enumerate(VOC_FROM_COCO.values(), start=1)
    found = {annotations.categories[name]: class_id for class_id, name in ids if name in annotations.categories}
    if not found:
        raise UserError(
            f"The annotations {annotations.path} have none of the 20 categories that PASCAL VOC shares with COCO "
            "(person, car, ...); --categories=own takes those that they have."
        )
    return found


def _own(annotations: Mapping[str, CocoAnnotations]) -> Meaning:
    first, *others = annotations.values()
    for other in others:
        if differing := sorted(set(first.categories) ^ set(other.categories)):
            raise UserError(
                f"The annotations {first.path} and {other.path} have different categories: {differing[0]!r} is in one "
                "of them only; list the same in both."
            )
    names = [name for name, _ in sorted(first.categories.items(), key=lambda item: item[1])]
    background = next((name for name in names if name.strip().lower() == "background"), "background")
    ordered = (background, *(name for name in names if name != background))
    check_names(ordered, f"The annotation file {first.path}")
    if len(ordered) > DEFAULT_IGNORE_LABEL:
        raise UserError(f"The annotations {first.path} have more than {DEFAULT_IGNORE_LABEL - 1} categories.")
    class_id = {name: i for i, name in enumerate(ordered)}
    classes = Classes(ordered, pascal_palette(len(ordered)), DEFAULT_IGNORE_LABEL)
    ids = {
        split: {number: class_id[name] for name, number in one.categories.items()} for split, one in annotations.items()
    }
    return Meaning(classes, False, ids)
