"""Exports that are compared with the network before they are complete."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Unpack

import numpy as np
from PIL import Image

from deeplab_dpc.api.arguments import naming_arguments
from deeplab_dpc.api.loaded import LoadedPredictor, mean_of
from deeplab_dpc.api.options import InferenceOptions, inference_config
from deeplab_dpc.api.predictor import RENAMED, ImageLike, listed_images, load_predictor, pixels_of
from deeplab_dpc.api.segmenter import Segmenter
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.config.export import BFLOAT16_AGREEMENT, FLOAT_AGREEMENT, INT8_AGREEMENT, SavedModelOptions
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.spread import spread_images
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.agreement import check_agreement
from deeplab_dpc.export.exported_model import load_exported_model
from deeplab_dpc.export.graph_predictor import graph_predictor
from deeplab_dpc.export.model_info import describe_model
from deeplab_dpc.export.onnx import export_onnx, onnx_packages
from deeplab_dpc.export.saved_model import WARMUP_SIZE, expected_agreement, export_saved_model
from deeplab_dpc.export.tflite import export_tflite
from deeplab_dpc.files import atomic_path
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
    if min_agreement is not None and not 0 <= min_agreement <= 1:
        raise UserError(f"`min_agreement` must be in [0, 1], got {min_agreement}.")
    sources = source if isinstance(source, list | tuple) else [source]
    members = [load_predictor(one, checkpoint, options) for one in sources]
    if not members:
        raise UserError("`source` is empty; give at least one.")
    loaded, networks = members[0], _networks(members)
    size = export_size or (_largest(images) if target.suffix == TFLITE else None)
    info = describe_model(
        loaded.class_names,
        loaded.palette,
        loaded.ignore_label,
        " and ".join(map(_portable_source, members)),
        networks,
        inference,
        **_format(target, size, tflite_type),
    )
    predictor = graph_predictor(networks, inference)
    full = dataclasses.replace(inference, inference_dtype="float32")
    reference = predictor if full == inference else graph_predictor(networks, full)
    checked = [scaled(image, size or ()) for image in _images(images, CHECKED_SPLIT, CHECKED)]
    if images is not None and not checked:
        raise UserError("`images` holds no image to compare the export on; give some, or None for no comparison.")
    with only_process(target, "export_dir", inside=False), atomic_path(target) as partial:
        if target.suffix == TFLITE:
            assert size is not None
            calibrating = _images(images, CALIBRATING_SPLIT, CALIBRATING) if tflite_type == "int8" else iter(())
            export_tflite(predictor, partial, info, tflite_type, size, (scaled(image, size) for image in calibrating))
        elif target.suffix == ONNX:
            export_onnx(predictor, partial, info, size)
        else:
            warmup = checked[0].shape[:2] if checked else WARMUP_SIZE
            export_saved_model(predictor, partial, info, SavedModelOptions(export_size=size or ()), warmup)
        if checked:
            threshold = _threshold(target, tflite_type, inference) if min_agreement is None else min_agreement
            check_agreement(reference, load_exported_model(partial), checked, threshold)
    return target


def _networks(members: Sequence[LoadedPredictor]) -> list[Network]:
    mean_of(members)
    networks: list[Network] = []
    for member in members:
        if member.network is None:
            raise UserError(f"{member.source} is exported already; give the run or model that it was exported from.")
        networks.append(member.network)
    return networks


def _portable_source(loaded: LoadedPredictor) -> str:
    """Returns the source of the weights, without the folders of this machine."""
    return loaded.source if loaded.workdir is None else f"{loaded.workdir.resolve().name}, step {loaded.step}"


def scaled(image: np.ndarray, size: tuple[int, int] | tuple[()]) -> np.ndarray:
    """Returns an image scaled bilinearly.

    Args:
      image: image, uint8 [height, width, 3].
      size: (height, width) in pixels; empty to return the image unchanged.
    """
    if not size or image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _format(target: pathlib.Path, size: tuple[int, int] | None, tflite_type: str) -> dict[str, Any]:
    """Returns the entries on the format in the metadata of the export, as deeplab-dpc export writes them."""
    if target.suffix == TFLITE:
        return {"format": "TFLite", "tflite_type": tflite_type, "export_size": list(size or ())}
    if target.suffix == ONNX:
        return {"format": "ONNX", "export_size": list(size or ())}
    return {"format": "SavedModel", **SavedModelOptions(export_size=size or ()).to_json()}


def _threshold(target: pathlib.Path, tflite_type: str, inference: InferenceConfig) -> float:
    if tflite_type == "int8":
        threshold = INT8_AGREEMENT
    else:
        threshold = FLOAT_AGREEMENT if target.suffix in (TFLITE, ONNX) else expected_agreement()
    return min(threshold, BFLOAT16_AGREEMENT) if inference.inference_dtype == "bfloat16" else threshold


def _images(images: Images, split: str, number: int) -> Iterator[np.ndarray]:
    if isinstance(images, Dataset):
        chosen = split if split in images.info.splits else next(iter(images.info.splits))
        return (image for _, image in spread_images(images, chosen, number))
    return (pixels_of(image)[0] for image in listed_images(images or ()))


def _largest(images: Images) -> tuple[int, int]:
    if not isinstance(images, Dataset):
        raise UserError("`export_size=(height, width)` is required: a TFLite model takes images of one size.")
    sizes = images.info.max_size
    return sizes.get(CHECKED_SPLIT) or next(iter(sizes.values()))
