"""Prediction of images: class masks of the images' sizes, with any model that this package trains or exports."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from PIL import Image

from deeplab_dpc.api.arguments import naming_arguments, require_path
from deeplab_dpc.api.loaded import is_checkpoint, model_of_checkpoint, model_of_run
from deeplab_dpc.api.loaded_predictor import (
    LoadedPredictor,
    ensemble_of,
    network_predictor,
    predictor_of,
    predictor_of_export,
)
from deeplab_dpc.api.options import InferenceOptions, inference_config
from deeplab_dpc.api.segmenter import KERAS_FILE, Segmenter, load_file, only_for_runs
from deeplab_dpc.checkpoint.published import meant_names
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.data.dataset_info import Color
from deeplab_dpc.data.found_images import find_images
from deeplab_dpc.data.image_files import decode_image, picture_pixels
from deeplab_dpc.errors import UserError, shown
from deeplab_dpc.evaluation.captioned import Overlays

EXPORTED = (".tflite", ".onnx")
SAVED_MODEL_FILE = "saved_model.pb"
OF_WINDOWS = ("sliding_window", "window_overlap")  # the options that an exported model takes

RENAMED = {
    "workdir": "source",
    "run_checkpoint": "checkpoint",
    "checkpoint_path": "source",
    "exported_model": "source",
}

Source = str | os.PathLike[str] | Segmenter
ImageLike = str | os.PathLike[str] | np.ndarray | Image.Image


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of an image.

    Attributes:
      image: the image, uint8 [height, width, 3].
      mask: class id of each pixel, int32 [height, width].
      probabilities: probability of each class, float32 [height, width, num_classes]; None if it was not requested.
      path: file of the image, or None for an array.
      class_names: names of the classes in the order of their ids.
      palette: (red, green, blue) of each class.

    Example:
        from PIL import Image
        from deeplab_dpc import Predictor

        prediction = Predictor("RUN").predict("photo.png")
        shares = {name: (prediction.mask == i).mean() for i, name in enumerate(prediction.class_names)}
        Image.fromarray(prediction.overlay()).save("overlay.png")
    """

    image: np.ndarray = dataclasses.field(repr=False)
    mask: np.ndarray = dataclasses.field(repr=False)
    probabilities: np.ndarray | None = dataclasses.field(repr=False)
    path: pathlib.Path | None
    class_names: tuple[str, ...]
    palette: tuple[Color, ...]

    def overlay(self, legend: bool = True) -> np.ndarray:
        """Returns the image with the colours of the classes over it, uint8 [height, width, 3].

        Args:
          legend: bool, whether the names of the classes that occur are written below, which makes the picture higher.
        """
        return Overlays(self.class_names, self.palette, legend).draw(self.image, self.mask)


class Predictor:
    """A predictor of the class of each pixel in images of any size, as in deeplab-dpc predict.

    Example:
        import numpy as np
        from deeplab_dpc import Predictor

        predictor = Predictor("RUN", add_flipped_images=True)
        mask = predictor.predict("photo.png").mask  # int32 [height, width]
        array = np.zeros((65, 81, 3), "uint8")
        probabilities = predictor.predict(array, probabilities=True).probabilities
        for prediction in predictor.predict_each("photos/*.png"):
            print(prediction.path, np.unique(prediction.mask))

    Args:
      source: a run directory, a `.keras` file, an export of deeplab-dpc export or `export_model` (the directory of a
        SavedModel, a .tflite or .onnx file), the prefix of a TensorFlow 1 checkpoint or the name of a published one,
        whose network is found from its variables (`Segmenter.from_preset` takes the other options), or a Segmenter,
        whose current weights are used. For a list of sources, their probabilities are averaged.
      checkpoint: checkpoint of a run: 'latest', 'best' or a step.
      **options: options of the prediction, by the names of the flags: eval_scales, add_flipped_images, sliding_window,
        eval_crop_size, inference_dtype, ...; deeplab_dpc.config.InferenceConfig documents each. An exported model
        predicts as it was exported, and takes only sliding_window and window_overlap.

    Attributes:
      class_names: names of the classes in the order of their ids.
      palette: (red, green, blue) of each class.
      ignore_label: id of unlabelled pixels in the data.

    Raises:
      UserError: if there is no such source, or it does not support an option.
      TypeError: if there is no such option.
    """

    def __init__(
        self,
        source: Source | Sequence[Source],
        *,
        checkpoint: str | int = "latest",
        **options: Unpack[InferenceOptions],
    ):
        with naming_arguments(**RENAMED):
            self.loaded = load_predictor(source, checkpoint, options)
        self.class_names = self.loaded.class_names
        self.palette = self.loaded.palette
        self.ignore_label = self.loaded.ignore_label

    def predict(self, image: ImageLike, *, probabilities: bool = False) -> Prediction:
        """Predicts one image.

        Args:
          image: a file, an array uint8 [height, width, 3], or a Pillow image.
          probabilities: bool, whether the probabilities of all classes are returned too.

        Raises:
          UserError: if the image cannot be read, is not such an array, or does not fit into the memory.
        """
        with naming_arguments():
            return self._predicted(image, probabilities)

    def predict_each(
        self, images: str | os.PathLike[str] | Iterable[ImageLike], *, probabilities: bool = False
    ) -> Iterator[Prediction]:
        """Predicts images one after another; only one is in memory at a time.

        Args:
          images: a folder, a pattern such as 'photos/**/*.jpg', or the images themselves.
          probabilities: bool, see `predict`.

        Yields:
          The prediction of each image, in the given order; for a folder or pattern, in the order of the paths.

        Raises:
          UserError: as `predict`, or if there are no images.
        """
        with naming_arguments():
            listed = listed_images(images)
        return (self.predict(image, probabilities=probabilities) for image in listed)

    def _predicted(self, image: ImageLike, with_probabilities: bool) -> Prediction:
        pixels, path = pixels_of(image)
        predictor = self.loaded.predictor
        predictor.check_size(pixels, "The image" if path is None else str(path))
        batch, found = pixels[np.newaxis], None
        if with_probabilities:
            found = predictor.predict_probabilities(batch)[0]
            mask = found.argmax(axis=-1).astype(np.int32)
        else:
            mask = predictor.predict_batch(batch)[0]
        return Prediction(pixels, mask, found, path, self.class_names, self.palette)


def load_predictor(
    source: Source | Sequence[Source], checkpoint: str | int, options: Mapping[str, Any]
) -> LoadedPredictor:
    """Returns the predictor of a source; for several sources, a predictor that averages their probabilities.

    Args:
      source: a source of Predictor, or a list of them.
      checkpoint: checkpoint of a run: 'latest', 'best' or a step.
      options: options of the prediction, by the names of the fields of InferenceConfig.

    Raises:
      UserError: if the list is empty, a source does not exist or is damaged, it does not support an option, or the
        classes of several sources differ.
    """
    if isinstance(source, list | tuple):
        if not source:
            raise UserError("`source` is empty; give at least one.")
        whole = inference_config(options)
        of_members = {name: value for name, value in options.items() if name not in OF_WINDOWS}
        return ensemble_of([load_predictor(one, checkpoint, of_members) for one in source], whole)
    config = inference_config(options)
    if isinstance(source, Segmenter):
        only_for_runs(checkpoint)
        return _of_segmenter(source, "a Segmenter", config)
    require_path("source", source)
    assert isinstance(source, str | os.PathLike)
    path = pathlib.Path(source)
    if not path.is_dir() or (path / SAVED_MODEL_FILE).exists():
        only_for_runs(checkpoint)
    if path.suffix in EXPORTED or (path / SAVED_MODEL_FILE).exists():
        return _of_export(path, config, options)
    if path.suffix == KERAS_FILE:
        return _of_segmenter(load_file(Segmenter, path, is_compiled=False), path.name, config)
    if is_checkpoint(source):
        return predictor_of(model_of_checkpoint(os.fspath(source), {}), config)
    if not path.is_dir():
        raise UserError(
            f"`source={os.fspath(source)!r}` is neither a run directory, a {KERAS_FILE} file, an exported model nor a "
            f"checkpoint: there is no {path.name}.index, and no published one of that name"
            f"{meant_names(os.fspath(source)) or '.'}"
        )
    return predictor_of(model_of_run(path, str(checkpoint)), config)


def _of_segmenter(model: Segmenter, source: str, config: InferenceConfig) -> LoadedPredictor:
    predictor = network_predictor(model.network, config)
    return LoadedPredictor(
        predictor=predictor,
        class_names=model.class_names,
        palette=model.palette,
        ignore_label=model.ignore_label,
        source=source,
        portable_source=source,
        network=model.network,
    )


def _of_export(path: pathlib.Path, config: InferenceConfig, options: Mapping[str, Any]) -> LoadedPredictor:
    for name in options:
        if name not in OF_WINDOWS:
            raise UserError(f"`{name}` does not go with an exported model, which predicts as it was exported.")
    return predictor_of_export(path, path.name, config)


def listed_images(images: str | os.PathLike[str] | Iterable[ImageLike]) -> Iterable[ImageLike]:
    """Returns the images of a folder or pattern, sorted by path; other images are returned unchanged."""
    if not isinstance(images, (str, os.PathLike)):
        return images
    return [file.path for file in find_images(os.fspath(images), are_written=False)]


def pixels_of(image: ImageLike) -> tuple[np.ndarray, pathlib.Path | None]:
    """Returns the pixels of an image, uint8 [height, width, 3], and its file; None if it is not from a file.

    Args:
      image: path of an image file, a PIL image, or an array, uint8 [height, width, 3].

    Raises:
      UserError: if the file does not exist, is a folder or cannot be decoded, or the array has another type or shape.
    """
    if isinstance(image, (str, os.PathLike)):
        path = pathlib.Path(image)
        if path.is_dir():
            raise UserError(f"{path} is a folder; `predict_each` predicts the images in it.")
        if not path.exists():
            raise UserError(f"The image {path} does not exist.")
        return decode_image(path, str(path)), path
    if isinstance(image, Image.Image):
        return picture_pixels(image, "The image"), None
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise UserError(
            f"`image` must be a file or an array uint8 [height, width, 3] with values in 0..255, got an array "
            f"{array.dtype} {shown(array.shape)}; give the images of a batch to `predict_each`."
        )
    return array, None
