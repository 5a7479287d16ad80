"""Exports that are compared with the network before they get their name, for export.py and `export_model`."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from deeplab_dpc.api.loaded import Loaded
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.config.export import (
    BFLOAT16_AGREEMENT,
    FLOAT32,
    FLOAT_AGREEMENT,
    INT8_AGREEMENT,
    SavedModelOptions,
)
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.agreement import Agreement, check_agreement, measure_agreement
from deeplab_dpc.export.exported_model import load_exported_model
from deeplab_dpc.export.graph_predictor import GraphPredictor, graph_predictor
from deeplab_dpc.export.model_info import ModelInfo, describe_model
from deeplab_dpc.export.onnx import export_onnx
from deeplab_dpc.export.saved_model import WARMUP_SIZE, expected_agreement, export_saved_model
from deeplab_dpc.export.serving_graph import ServingGraph
from deeplab_dpc.export.tflite import export_tflite
from deeplab_dpc.files import atomic_path
from deeplab_dpc.models.image_predictor import ImagePredictor
from deeplab_dpc.models.segmenter import Segmenter

Size = tuple[int, int] | tuple[()]


class Format(Protocol):
    """A format of exports, with its options."""

    @property
    def size(self) -> Size:
        """Returns the (height, width) in pixels of all images; empty for any size."""

    def entries(self) -> dict[str, Any]:
        """Returns the entries on the format in the metadata of the export."""

    def expected_agreement(self) -> float:
        """Returns the share of pixels, in [0, 1], for which export and network predict the same class in float32."""

    def reference(self, network: GraphPredictor) -> ImagePredictor:
        """Returns the predictor with which the export must agree: that of the network with the options."""

    def write(self, predictor: GraphPredictor, path: pathlib.Path, info: ModelInfo, shown: tuple[int, int]) -> None:
        """Writes the export.

        Args:
          predictor: the network with its padding and scales.
          path: path of the new file or directory.
          info: facts to store in the export.
          shown: (height, width) in pixels of an image, for requests that warm up a server.
        """


@dataclasses.dataclass(frozen=True)
class SavedModelFormat:
    """The Format of a SavedModel.

    Attributes:
      options: size of the images, and signatures.
    """

    options: SavedModelOptions

    @property
    def size(self) -> Size:
        return self.options.export_size

    def entries(self) -> dict[str, Any]:
        return {"format": "SavedModel", **self.options.to_json()}

    def expected_agreement(self) -> float:
        return expected_agreement()

    def reference(self, network: GraphPredictor) -> ImagePredictor:
        return ServingGraph(network, self.options) if self.options.approximates else network

    def write(self, predictor: GraphPredictor, path: pathlib.Path, info: ModelInfo, shown: tuple[int, int]) -> None:
        export_saved_model(predictor, path, info, self.options, shown)


@dataclasses.dataclass(frozen=True)
class TFLiteFormat:
    """The Format of a TensorFlow Lite file.

    Attributes:
      tflite_type: type of the numbers: float32, float16 or int8.
      size: (height, width) in pixels of all images.
      calibration: function that returns the images uint8 [height, width, 3] of any size that calibrate int8.
    """

    tflite_type: str
    size: tuple[int, int]
    calibration: Callable[[], Iterable[np.ndarray]]

    def entries(self) -> dict[str, Any]:
        return {"format": "TFLite", "tflite_type": self.tflite_type, "export_size": list(self.size)}

    def expected_agreement(self) -> float:
        return INT8_AGREEMENT if self.tflite_type == "int8" else FLOAT_AGREEMENT

    def reference(self, network: GraphPredictor) -> ImagePredictor:
        return network

    def write(self, predictor: GraphPredictor, path: pathlib.Path, info: ModelInfo, shown: tuple[int, int]) -> None:
        images = self.calibration() if self.tflite_type == "int8" else ()
        calibrating = (scaled(image, self.size) for image in images)
        export_tflite(predictor, path, info, self.tflite_type, self.size, calibrating)


@dataclasses.dataclass(frozen=True)
class OnnxFormat:
    """The Format of an ONNX file.

    Attributes:
      size: (height, width) in pixels of all images; empty for any size.
    """

    size: Size

    def entries(self) -> dict[str, Any]:
        return {"format": "ONNX", "export_size": list(self.size)}

    def expected_agreement(self) -> float:
        return FLOAT_AGREEMENT

    def reference(self, network: GraphPredictor) -> ImagePredictor:
        return network

    def write(self, predictor: GraphPredictor, path: pathlib.Path, info: ModelInfo, shown: tuple[int, int]) -> None:
        export_onnx(predictor, path, info, self.size or None)


class VerifiedExport:
    """A writer of exports of one network, or of the mean of several, each compared with it.

    Args:
      members: classes and sources of the networks; those of the first network are the classes of the export.
      networks: the networks.
      inference: configuration of the prediction.
      images: images to compare the exports on, uint8 [height, width, 3]; with none, nothing is compared.
      min_agreement: share of pixels for which export and network must predict the same class, in [0, 1]; None for that
        of the format.

    Attributes:
      reference: predictor of the commands eval and predict, in full precision.
    """

    def __init__(
        self,
        members: Sequence[Loaded],
        networks: Sequence[Segmenter],
        inference: InferenceConfig,
        images: Sequence[np.ndarray],
        min_agreement: float | None,
    ):
        self._members = members
        self._networks = networks
        self._inference = inference
        self._images = images
        self._min_agreement = min_agreement
        self._predictor = graph_predictor(networks, inference)
        full = dataclasses.replace(inference, inference_dtype=FLOAT32)
        self.reference = self._predictor if full == inference else graph_predictor(networks, full)

    def info(self, form: Format) -> ModelInfo:
        """Returns the metadata of an export that is made now."""
        first = self._members[0]
        source = " and ".join(member.portable_source for member in self._members)
        names, palette, ignored = first.class_names, first.palette, first.ignore_label
        return describe_model(names, palette, ignored, source, self._networks, self._inference, **form.entries())

    def write(self, form: Format, target: pathlib.Path) -> list[Agreement]:
        """Writes an export, which gets its name only if it agrees with the network; returns what `compare` does."""
        shown = (self._images[0].shape[0], self._images[0].shape[1]) if self._images else WARMUP_SIZE
        with atomic_path(target) as partial:
            form.write(self._predictor, partial, self.info(form), shown)
            return self.compare(form, partial)

    def compare(self, form: Format, path: pathlib.Path) -> list[Agreement]:
        """Compares an export with the network.

        Returns:
          The agreement with the network with the options of the format, then that with the network at full size, if
          the options approximate it; nothing if there are no images.

        Raises:
          UserError: if the first agreement is too low.
        """
        if not self._images:
            return []
        images = [scaled(image, form.size) for image in self._images]
        reference, exported = form.reference(self.reference), load_exported_model(path)
        found = [check_agreement(reference, exported, images, self._threshold(form))]
        if reference is not self.reference:
            found.append(measure_agreement(self.reference, exported, images))
        return found

    def _threshold(self, form: Format) -> float:
        if self._min_agreement is not None:
            return self._min_agreement
        expected = form.expected_agreement()
        return min(expected, BFLOAT16_AGREEMENT) if self._inference.inference_dtype == "bfloat16" else expected


def check_min_agreement(value: float | None) -> None:
    """Raises a UserError if a smallest agreement is given that is not a share."""
    if value is not None and not 0 <= value <= 1:
        raise UserError(f"--min_agreement must be in [0, 1], got {value}.")


def scaled(image: np.ndarray, size: Size) -> np.ndarray:
    """Returns the image scaled to (height, width) in pixels, if a size is given."""
    if not size or image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))
