"""The user's data with annotations as labels: the image of each annotation, and the classes of its shapes."""

import collections
import functools
import os
import pathlib
import unicodedata

import numpy as np

from deeplab_dpc.console import console
from deeplab_dpc.data.class_rules import check_names
from deeplab_dpc.data.classes_file import ClassesFile
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Color, pascal_palette
from deeplab_dpc.data.file_kinds import listed
from deeplab_dpc.data.image_files import SUFFIXES as IMAGE_SUFFIXES
from deeplab_dpc.datasets.annotation_sources import AnnotationSource, Meaning, Size, open_annotations
from deeplab_dpc.datasets.coco_categories import BACKGROUND
from deeplab_dpc.datasets.left_out import print_left_out
from deeplab_dpc.datasets.pairing import split_folders
from deeplab_dpc.datasets.pictures import read_image
from deeplab_dpc.datasets.raw_files import RawFiles, RawTree
from deeplab_dpc.datasets.records import RawExample
from deeplab_dpc.datasets.segmentation_builder import Classes
from deeplab_dpc.datasets.splits import Pair, Splits, ValDraw, grouped_by_folder, renamed, subset_splits
from deeplab_dpc.datasets.together import FOLDERS
from deeplab_dpc.errors import UserError

IGNORED = "__ignore__"  # labelme's name for ignored pixels
BACKGROUNDS = ("background", "_background_", "__background__")
_MAX_CLASSES = DEFAULT_IGNORE_LABEL


def annotated_examples(
    kind: str,
    images: RawFiles,
    labels: RawFiles,
    given: ClassesFile | None,
    draw: ValDraw,
    skip_bad: bool,
    only: str | None = None,
) -> tuple[Classes, dict[str, list[RawExample]]]:
    """Returns the classes, and the examples of each split.

    Args:
      kind, only, labels, images, skip_bad: see `open_annotations`.
      given: contents of the classes file; None takes the classes of the annotations, after a background.
      draw: draw of val, used if no folders of images define the splits.

    Raises:
      UserError: for the first error in the inputs.
    """
    tree = RawTree(images)
    keys = {_parts(name)[-1] for name in tree.files("", IMAGE_SUFFIXES)}
    numbered = None if given is None else tuple(name for name in given.names if name.lower() not in BACKGROUNDS)
    source = open_annotations(kind, labels, images, keys, numbered, skip_bad, only)
    where = f"The annotation file {labels.title(only)}" if only else f"The folder of annotations {labels.path}"
    classes, meaning = _classes(source, given, where)
    splits = _splits(source, images, tree, draw, skip_bad)
    return classes, {
        split: [_example(pair, images, source, meaning) for pair in pairs] for split, pairs in splits.items()
    }


def _classes(source: AnnotationSource, given: ClassesFile | None, where: str) -> tuple[Classes, Meaning]:
    """Returns the classes and the meaning of the names in the annotations."""
    names = [name for name in source.names if name != IGNORED]
    ignores = source.can_ignore or IGNORED in source.names
    if given is None:
        background = next((name for name in names if name.lower() in BACKGROUNDS), BACKGROUNDS[0])
        ordered = (background, *(name for name in names if name != background))
        check_names(ordered, where)
        if len(ordered) > _MAX_CLASSES:
            raise UserError(f"{where} has more than {_MAX_CLASSES - 1} classes.")
        console.print(f"Classes: {', '.join(ordered)}; pixels that no shape covers are {background}.")
        classes = Classes(ordered, _palette(ordered, source.palette), DEFAULT_IGNORE_LABEL, are_own=True)
        outside = BACKGROUND
    else:
        classes = Classes.from_file(given)
        ordered = classes.names
        outside = next((i for i, name in enumerate(ordered) if name.lower() in BACKGROUNDS), classes.ignore_label)
        if outside == classes.ignore_label:
            console.print("Pixels that no shape covers are ignored, since none of --classes is called background.")
    ids = {name: i for i, name in enumerate(ordered)} | {IGNORED: classes.ignore_label}
    ids |= {name: outside for name in names if name.lower() in BACKGROUNDS and outside != classes.ignore_label}
    if unknown := sorted(name for name in source.used if name not in ids):
        raise UserError(
            f"{where} has the class {unknown[0]!r}, which is not among --classes ({', '.join(ordered)}); name it there."
        )
    if ignores or outside == classes.ignore_label:
        classes = Classes(
            ordered, classes.palette, classes.ignore_label, classes.categories, are_own=True, allow_absent_classes=True
        )
    return classes, Meaning(ids, outside, classes.ignore_label)


def _palette(names: tuple[str, ...], colors: dict[str, Color]) -> tuple[Color, ...]:
    """Returns the annotations' colours if all classes except the background have one; otherwise those of PASCAL VOC."""
    plain = pascal_palette(len(names))
    chosen = (plain[BACKGROUND], *(colors.get(name) for name in names[1:]))
    if None in chosen or len(set(chosen)) < len(chosen):
        return plain
    return tuple(color for color in chosen if color is not None)


def _splits(source: AnnotationSource, images: RawFiles, tree: RawTree, draw: ValDraw, skip_bad: bool) -> Splits:
    """Matches images and annotations; a split without any annotated image is unlabelled."""
    folders = split_folders(tree, draw)
    paths = {folder: tree.files(folder, IMAGE_SUFFIXES) for folder in folders}
    found = _matched(source, [tree.path(folder, name) for folder in folders for name in paths[folder]], images)
    splits = {}
    for folder, names in paths.items():
        pairs = [Pair(name, tree.path(folder, name), found.get(tree.path(folder, name))) for name in names]
        splits[folder] = _labelled(pairs, source, tree.title(folder), folder)
    taken = {pair.image for pairs in splits.values() for pair in pairs}
    is_shared = os.path.samefile(images.path, source.raw.path)
    print_left_out(images, taken | (set(source.files) if is_shared else set()), skip_bad)
    if "" not in splits:
        return renamed(splits)
    if not any(pair.label for pair in splits[""]):
        raise UserError(f"None of the images in {tree.title('')} has annotations in {source.raw.path}.")
    named = subset_splits(splits[""], source.subsets, str(source.raw.path)) if draw.group_by is None else None
    return named or grouped_by_folder(draw, tree.folders(), tree.title("")).splits(splits[""])


def _labelled(pairs: list[Pair], source: AnnotationSource, where: str, folder: str) -> list[Pair]:
    """Returns the pairs of a split; images without an annotation are treated as the kind of annotations requires."""
    alone = [pair for pair in pairs if pair.label is None]
    if len(alone) == len(pairs) and folder not in ("", "train"):
        return pairs
    if alone and source.may_lack is False:
        raise UserError(
            f"{listed([pair.name for pair in alone], 'image')} in {where} without annotations in {source.raw.path}; "
            "annotate them, or move them away."
        )
    if alone and source.may_lack:
        console.print(
            f"{len(alone)} of the {len(pairs)} images in {where} have no file of annotations: they show none of the "
            "classes."
        )
        return [Pair(pair.name, pair.image, pair.label or "") for pair in pairs]
    return [pair for pair in pairs if pair.label is not None]


def _matched(source: AnnotationSource, images: list[str], raw_images: RawFiles) -> dict[str, str]:
    """Returns the annotation of each image that has one.

    An image and its annotation have the same file name, and the same folders if both are in folders; folders called
    images, labels and the like do not count.
    """
    by_stem: dict[str, list[str]] = collections.defaultdict(list)
    parts_of = {name: _parts(reference) for name, reference in source.references.items()}
    for name, parts in parts_of.items():
        by_stem[parts[-1]].append(name)
    found: dict[str, str] = {}
    image_of: dict[str, str] = {}
    for image in images:
        parts = _parts(image)
        agreeing = [name for name in by_stem[parts[-1]] if _agree(image, source.references[name])]
        exact = [name for name in agreeing if parts_of[name] == parts] or agreeing
        if len(exact) > 1:
            raise UserError(
                f"The image {raw_images.title(image)} may be that of {exact[0]} or of {exact[1]} in {source.raw.path}; "
                "give the folder of annotations that is meant."
            )
        if exact:
            found[image] = exact[0]
            if (other := image_of.setdefault(exact[0], image)) != image:
                raise UserError(
                    f"The annotations {exact[0]} in {source.raw.path} may be those of {other} or of {image} in "
                    f"{raw_images.path}; rename one of them, or give the folder of images that is meant."
                )
    alone = [name for name in parts_of if name not in image_of]
    if lost := [name for name in alone if source.is_annotation(name)]:
        raise UserError(
            f"{listed(lost, 'image')} with annotations in {source.raw.path} that are not in {raw_images.path}; put "
            "them there, or remove their annotations."
        )
    if alone:
        console.print(f"Left out of {source.raw.path}: {listed(alone, 'file')}.")
    return found


def _parts(path: str) -> list[str]:
    """Returns the folders, except those called images, labels and the like, and the file name without its suffix."""
    *folders, name = pathlib.PurePosixPath(unicodedata.normalize("NFC", path)).parts
    stem = name[: -len(pathlib.PurePosixPath(name).suffix)] if name.lower().endswith(IMAGE_SUFFIXES) else name
    return [*(folder for folder in folders if folder.lower() not in FOLDERS), stem]


def _agree(image: str, reference: str) -> bool:
    if (
        reference.lower().endswith(IMAGE_SUFFIXES)
        and pathlib.PurePosixPath(reference).suffix != pathlib.PurePosixPath(image).suffix
    ):
        return False
    first, second = _parts(image), _parts(reference)
    length = min(len(first), len(second))
    return first[-length:] == second[-length:]


def _example(pair: Pair, images: RawFiles, source: AnnotationSource, meaning: Meaning) -> RawExample:
    image = functools.partial(_read_image, images, pair.image)
    identity = [pair.image, *images.identity(pair.image)]
    if pair.label is None:
        return RawExample(pair.name, image, None, identity)
    identity += [type(source).__name__, sorted(meaning.ids.items()), meaning.outside]
    if not pair.label:
        return RawExample(pair.name, image, functools.partial(_nothing, images, pair.image, meaning), identity)
    label = functools.partial(source.label, pair.label, functools.partial(_size, images, pair.image), meaning)
    return RawExample(pair.name, image, label, [*identity, pair.label, *source.identity(pair.label)])


def _read_image(images: RawFiles, name: str) -> tuple[bytes, str]:
    return images.read(name), images.title(name)


def _size(images: RawFiles, name: str) -> Size:
    """Returns the height and width of an image in pixels, as viewers show it."""
    image = read_image(*_read_image(images, name))
    return image.height, image.width


def _nothing(images: RawFiles, name: str, meaning: Meaning) -> tuple[np.ndarray, str]:
    """Returns the label of an image without objects."""
    return np.full(_size(images, name), meaning.outside, np.uint8), f"of {images.title(name)}"
