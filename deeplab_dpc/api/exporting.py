"""Exports that are compared with the network before they are complete."""

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, Unpack

import numpy as np

from deeplab_dpc.api.arguments import naming_arguments
from deeplab_dpc.api.loaded import mean_of
from deeplab_dpc.api.loaded_predictor import LoadedPredictor
from deeplab_dpc.api.options import InferenceOptions, inference_config
from deeplab_dpc.api.predictor import RENAMED, ImageLike, listed_images, load_predictor, pixels_of
from deeplab_dpc.api.segmenter import Segmenter
from deeplab_dpc.api.verified_export import (
    Format,
    OnnxFormat,
    SavedModelFormat,
    TFLiteFormat,
    VerifiedExport,
    check_min_agreement,
)
from deeplab_dpc.config.export import SavedModelOptions
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.spread import spread_images
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.onnx import onnx_packages
from deeplab_dpc.files import remove_partial
from deeplab_dpc.locks import only_process
from deeplab_dpc.models.segmenter import Segmenter as Network

CHECKED, CALIBRATING = 8, 100  # numbers of images that are taken from a data set
CHECKED_SPLIT, CALIBRATING_SPLIT = "val", "train"
TFLITE, ONNX = ".tflite", ".onnx"

Images = Dataset | str | os.PathLike[str] | Iterable[ImageLike] | None


@naming_arguments(**RENAMED, check_images="images", calibration_images="images", export_dir="path")
def export_model(
    source: str | os.PathLike[str] | Segmenter | Sequence[str | os.PathLike[str] | Segmenter],
    path: str | os.PathLike[str],
    *,
    images: Images,
    checkpoint: str | int = "latest",
    export_size: tuple[int, int] | None = None,
    tflite_type: Literal["float32", "float16", "int8"] = "float32",
    min_agreement: float | None = None,
    **options: Unpack[InferenceOptions],
) -> pathlib.Path:
    """Exports a network for programs without this package, as deeplab-dpc export does: uint8 images in, class ids out.

    The export is loaded again and compared with the network; if the agreement is below `min_agreement`, it is removed.

    Example:
        from deeplab_dpc import Predictor, export_model, read_dataset

        export_model("RUN", "model.tflite", images=read_dataset("DATA"))
        mask = Predictor("model.tflite").predict("photo.png").mask

    Args:
      source: a run directory, a `.keras` file, or a Segmenter; or several, whose probabilities are averaged.
      path: path of the export, which must not exist: a file that ends with .tflite or .onnx, or the directory of a
        SavedModel.
      images: a data set, of which a few images are taken, or images as in `Predictor.predict_each`. The export is
        compared with the network on them, and they calibrate the ranges of int8. With None nothing is compared.
      checkpoint: checkpoint of a run: 'latest', 'best' or a step.
      export_size: (height, width) in pixels of all images; by default any size, and for TFLite that of the largest
        image of the data set.
      tflite_type: type of the numbers in a TFLite file.
      min_agreement: share of pixels for which export and network must predict the same class, in [0, 1]; by default 1
        for a SavedModel (0.999 on a GPU), 0.999 for ONNX and TFLite, 0.97 for int8 and 0.995 for bfloat16.
      **options: options of the prediction, see Predictor.

    Returns:
      The path.

    Raises:
      UserError: if the path exists, the format does not support an option, or the export disagrees too much with the
        network.
    """
    target, inference = pathlib.Path(path), inference_config(options)
    if target.exists():
        raise UserError(f"`path={os.fspath(path)!r}` exists already; remove it, or give another one.")
    if target.suffix == ONNX:
        onnx_packages()  # raises before anything is computed
    if tflite_type != "float32" and target.suffix != TFLITE:
        raise UserError(f"`tflite_type` is for a path that ends with {TFLITE}, got {target.name}.")
    if export_size is not None and (len(export_size) != 2 or min(export_size) < 1):
        raise UserError(f"`export_size` must be (height, width) in pixels, got {export_size}.")
    check_min_agreement(min_agreement)
    if not (images is None or isinstance(images, Dataset | str | os.PathLike)):
        images = list(images)  # it is read twice if it calibrates too
    sources = source if isinstance(source, list | tuple) else [source]
    members = [load_predictor(one, checkpoint, options) for one in sources]
    if not members:
        raise UserError("`source` is empty; give at least one.")
    networks = _networks(members)
    SavedModelOptions(export_size or ()).check(inference, averages=len(members) > 1)
    form = _format(target, export_size, tflite_type, images)
    checked = list(_images(images, CHECKED_SPLIT, CHECKED))
    if images is not None and not checked:
        raise UserError("`images` holds no image to compare the export on; give some, or None for no comparison.")
    export = VerifiedExport(members, networks, inference, checked, min_agreement)
    if export_size is None:
        for number, image in enumerate(checked):
            export.reference.check_size(image, f"Image {number} of `images`")
    with only_process(target, "export_dir", inside=False):
        remove_partial(target.parent, target.name)
        export.write(form, target)
    return target


def _networks(members: Sequence[LoadedPredictor]) -> list[Network]:
    mean_of(members)
    networks: list[Network] = []
    for member in members:
        if member.network is None:
            raise UserError(f"{member.source} is exported already; give the run or model that it was exported from.")
        networks.append(member.network)
    return networks


def _format(target: pathlib.Path, size: tuple[int, int] | None, tflite_type: str, images: Images) -> Format:
    """Returns the format that the ending of the path names."""
    if target.suffix == TFLITE:
        return TFLiteFormat(
            tflite_type, size or _largest(images), lambda: _images(images, CALIBRATING_SPLIT, CALIBRATING)
        )
    return OnnxFormat(size or ()) if target.suffix == ONNX else SavedModelFormat(SavedModelOptions(size or ()))


def _images(images: Images, split: str, number: int) -> Iterator[np.ndarray]:
    if isinstance(images, Dataset):
        chosen = split if split in images.info.splits else next(iter(images.info.splits))
        return (image for _, image in spread_images(images, chosen, number))
    return (pixels_of(image)[0] for image in listed_images(() if images is None else images))


def _largest(images: Images) -> tuple[int, int]:
    if not isinstance(images, Dataset):
        raise UserError("`export_size=(height, width)` is required: a TFLite model takes images of one size.")
    return images.max_size(",".join(images.info.splits))
