"""ADE20K as the SceneParsing benchmark publishes it (Zhou et al., CVPR 2017): 150 classes and unlabelled pixels.

Ids are unchanged, in DeepLab's convention of 151 classes: 0 is everything outside the 150 classes and is ignored.
"""

import dataclasses
import functools
import io
import os
from typing import Any

import numpy as np
from PIL import Image

from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import Dataset, pascal_palette
from deeplab_dpc.datasets.label_pictures import read_label
from deeplab_dpc.datasets.official import ADE20K_ARCHIVE, ADE20K_PAGE
from deeplab_dpc.datasets.pictures import OR_SKIP, encode_png, read_image
from deeplab_dpc.datasets.raw_files import RawFiles, open_raw
from deeplab_dpc.datasets.records import SIZE_CURE, RawExample, build_records
from deeplab_dpc.datasets.segmentation_builder import Classes
from deeplab_dpc.errors import UserError, first_few

NAME = "ade20k"
NUM_CLASSES = 151  # with id 0
IGNORE_LABEL = 0
OTHER = "other"  # name of id 0
SPLITS = {"train": "training", "val": "validation"}
PUBLISHED_SIZES = {"train": 20_210, "val": 2_000}

_TOP = "ADEChallengeData2016/"  # the archive's only folder
_CLASS_TABLE = "objectInfo150.txt"
_LISTED = 3  # number of missing files in a message


def build_ade20k(
    ade20k_root: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    max_side: int = 0,
    overwrite: bool = False,
    skip_bad: bool = False,
) -> Dataset:
    """Builds the data set `ade20k` with the splits train and val.

    Args:
      ade20k_root: folder ADEChallengeData2016, the folder that contains it, or ADEChallengeData2016.zip.
      data_dir: directory in which data sets are written.
      max_side: length in pixels to which the longer side of each training image is resized (smaller images are
        enlarged), with the aspect ratio kept (bilinear, smoothed when shrinking; labels nearest), as Auto-DeepLab does
        with 513. 0 keeps all sizes. Images of val always keep their size, since results are measured on them.
      overwrite: bool, whether to replace a data set that was made from other files.
      skip_bad: bool, whether pairs that cannot be used are left out.

    Raises:
      UserError: if files are missing or cannot be used, or `max_side` is negative.
    """
    if max_side < 0:
        raise UserError(f"--max_side must be a number of pixels, or 0 to keep the size, got {max_side}.")
    with open_raw(ade20k_root) as raw:
        top = _top(raw)
        names = _class_names(raw, top + _CLASS_TABLE)
        classes = Classes(names=names, palette=pascal_palette(NUM_CLASSES), ignore_label=IGNORE_LABEL)
        examples = {split: _examples(raw, top, split, max_side if split == "train" else 0) for split in SPLITS}
        for split, published in PUBLISHED_SIZES.items():
            if len(examples[split]) != published:
                console.print(f"Note: {len(examples[split])} images in {split}; as published it has {published}.")
        return build_records(NAME, classes, examples, data_dir, overwrite, skip_bad)


def _get_it() -> str:
    return f"download {ADE20K_ARCHIVE} from {ADE20K_PAGE} and give it, or the folder unpacked from it, as --ade20k_root"


def _top(raw: RawFiles) -> str:
    """Returns the common part of all paths above images/ and annotations/."""
    for top in ("", _TOP):
        if raw.below(f"{top}images/{SPLITS['train']}", (".jpg",)):
            return top
    raise UserError(f"There is no image in {raw.path} below images/{SPLITS['train']}/ (.jpg); {_get_it()}.")


def _class_names(raw: RawFiles, table: str) -> tuple[str, ...]:
    """Returns the first synonym of each class, after the name of id 0; the table's header names the columns."""
    if table not in raw.names():
        raise UserError(f"The table of class names {raw.title(table)} is missing; {_get_it()}.")
    data = raw.read(table)
    try:
        header, *lines = (line.split("\t") for line in data.decode("utf-8").splitlines() if line.strip())
        index, name = header.index("Idx"), header.index("Name")
        found = {int(line[index]): line[name].split(",")[0].strip() for line in lines}
    except (ValueError, IndexError) as error:
        raise UserError(
            f"{raw.title(table)} is not the table of class names that {ADE20K_ARCHIVE} holds: "
            "tab-separated lines with the columns Idx and Name."
        ) from error
    missing = [str(class_id) for class_id in range(1, NUM_CLASSES) if not found.get(class_id)]
    if missing or len(found) != NUM_CLASSES - 1:
        reason = f"the first missing is {missing[0]}" if missing else f"it has {len(found)}"
        raise UserError(f"{raw.title(table)} must name the classes 1 to {NUM_CLASSES - 1}; {reason}.")
    return (OTHER, *(found[class_id] for class_id in range(1, NUM_CLASSES)))


def _examples(raw: RawFiles, top: str, split: str, longer_side: int) -> list[RawExample]:
    """Returns the pairs of a split, sorted by name."""
    folder = SPLITS[split]
    images = _by_stem(raw, f"{top}images/{folder}", ".jpg")
    labels = _by_stem(raw, f"{top}annotations/{folder}", ".png")
    if not images:
        raise UserError(f"There is no image in {raw.path} below images/{folder}/ (.jpg); {_get_it()}.")
    without_label, without_image = sorted(images.keys() - labels), sorted(labels.keys() - images)
    if without_label:
        raise UserError(
            f"{_counted([images[stem] for stem in without_label])} in {raw.path} without a label of the same name "
            f"below annotations/{folder}/; {_get_it()}."
        )
    if without_image:
        raise UserError(
            f"{_counted([labels[stem] for stem in without_image])} in {raw.path} without an image of the same name "
            f"below images/{folder}/; {_get_it()}."
        )
    return [_example(_Pair(raw, images[stem], labels[stem], longer_side)) for stem in sorted(images)]


def _by_stem(raw: RawFiles, folder: str, suffix: str) -> dict[str, str]:
    return {name.rpartition("/")[2][: -len(suffix)]: name for name in raw.below(folder, (suffix,))}


def _counted(names: list[str]) -> str:
    return f"{first_few(names, _LISTED)}: {len(names)} file{'s' if len(names) > 1 else ''}"


@dataclasses.dataclass(frozen=True)
class _Pair:
    """The paths of an image and its label; `longer_side` is in pixels, 0 to keep the size."""

    raw: RawFiles
    image: str
    label: str
    longer_side: int


def _example(pair: _Pair) -> RawExample:
    identity: list[Any] = [*pair.raw.identity(pair.image), *pair.raw.identity(pair.label), pair.longer_side]
    filename = pair.image.rpartition("/")[2]
    return RawExample(filename, functools.partial(_image, pair), functools.partial(_label, pair), identity)


def _image(pair: _Pair) -> tuple[bytes, str]:
    data, name = pair.raw.read(pair.image), pair.raw.title(pair.image)
    if not pair.longer_side:
        return data, name
    image = read_image(data, name)
    stored = image.data if image.orientation == 1 else data  # not turned, like the label
    with Image.open(io.BytesIO(stored)) as picture:
        size = _resized(picture.height, picture.width, pair.longer_side)
        resized = picture.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    return encode_png(resized, image.orientation), name


def _label(pair: _Pair) -> tuple[np.ndarray, str]:
    name = pair.raw.title(pair.label)
    label = read_label(pair.raw.read(pair.label), name)
    if label.kind != "grey":
        raise UserError(f"The label {name} is not grey but {label.kind}; ADE20K's labels are grey, with ids 0 to 150.")
    if not pair.longer_side:
        return label.values, name
    height, width = label.values.shape
    with Image.open(io.BytesIO(pair.raw.read(pair.image))) as image:  # reads the header; `_image` has checked the rest
        if image.size != (width, height):  # after resizing, both may have the same size
            raise UserError(
                f"{pair.raw.title(pair.image)} is {image.width} x {image.height} pixels but its label {name} is "
                f"{width} x {height}; they must be of the same size{SIZE_CURE}{OR_SKIP}."
            )
    size = _resized(height, width, pair.longer_side)
    return np.asarray(Image.fromarray(label.values).resize(size, Image.Resampling.NEAREST)), name


def _resized(height: int, width: int, longer_side: int) -> tuple[int, int]:
    """Returns the resized (width, height) in pixels, in Pillow's order."""
    scale = longer_side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))
