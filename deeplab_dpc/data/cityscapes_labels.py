"""Ids of Cityscapes: the label ids of its label files and test server, and the train ids of records and predictions.

Source: cityscapesscripts/helpers/labels.py of https://github.com/mcordts/cityscapesScripts.
"""

from typing import NamedTuple

import numpy as np

from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Color


class CityscapesClass(NamedTuple):
    """A row of the official table of classes.

    Attributes:
      name: name of the class.
      label_id: id in the official label files and in submissions to the test server.
      train_id: id in the records and in predictions.
      category: group of classes that counts as one in the category IoU.
      color: (red, green, blue) of the official colour pictures.
    """

    name: str
    label_id: int
    train_id: int
    category: str
    color: Color


# The classes that count in the evaluation; all others of the table are ignored.
CLASSES = (
    CityscapesClass("road", 7, 0, "flat", (128, 64, 128)),
    CityscapesClass("sidewalk", 8, 1, "flat", (244, 35, 232)),
    CityscapesClass("building", 11, 2, "construction", (70, 70, 70)),
    CityscapesClass("wall", 12, 3, "construction", (102, 102, 156)),
    CityscapesClass("fence", 13, 4, "construction", (190, 153, 153)),
    CityscapesClass("pole", 17, 5, "object", (153, 153, 153)),
    CityscapesClass("traffic light", 19, 6, "object", (250, 170, 30)),
    CityscapesClass("traffic sign", 20, 7, "object", (220, 220, 0)),
    CityscapesClass("vegetation", 21, 8, "nature", (107, 142, 35)),
    CityscapesClass("terrain", 22, 9, "nature", (152, 251, 152)),
    CityscapesClass("sky", 23, 10, "sky", (70, 130, 180)),
    CityscapesClass("person", 24, 11, "human", (220, 20, 60)),
    CityscapesClass("rider", 25, 12, "human", (255, 0, 0)),
    CityscapesClass("car", 26, 13, "vehicle", (0, 0, 142)),
    CityscapesClass("truck", 27, 14, "vehicle", (0, 0, 70)),
    CityscapesClass("bus", 28, 15, "vehicle", (0, 60, 100)),
    CityscapesClass("train", 31, 16, "vehicle", (0, 80, 100)),
    CityscapesClass("motorcycle", 32, 17, "vehicle", (0, 0, 230)),
    CityscapesClass("bicycle", 33, 18, "vehicle", (119, 11, 32)),
)
TRAIN_ID_OF_LABEL_ID = {row.label_id: row.train_id for row in CLASSES}
LABEL_ID_OF_TRAIN_ID = {row.train_id: row.label_id for row in CLASSES}
UNLABELED_ID = 0  # the label id of a pixel without a class


def label_ids(train_ids: np.ndarray) -> np.ndarray:
    """Converts predicted train ids to the label ids of the Cityscapes test server.

    Args:
      train_ids: integers of any shape, each 0 to 18, or 255 if nothing is predicted.

    Returns:
      uint8 of the same shape; 0 (unlabeled) for 255.

    Raises:
      ValueError: for other values.
    """
    table = LABEL_ID_OF_TRAIN_ID | {DEFAULT_IGNORE_LABEL: UNLABELED_ID}
    wrong = sorted(set(np.unique(train_ids).tolist()) - set(table))
    if wrong:
        raise ValueError(f"`train_ids` must all be 0 to {len(CLASSES) - 1} or {DEFAULT_IGNORE_LABEL}, got {wrong[0]}.")
    lookup = np.zeros(max(table) + 1, np.uint8)
    lookup[list(table)] = list(table.values())
    ids: np.ndarray = lookup[train_ids]
    return ids
