"""Runtime of ONNX files: ONNX Runtime on the CPU. Needs the extra `onnx`."""

import json
import pathlib

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.model_info import ModelInfo
from deeplab_dpc.export.model_runtime import no_probabilities, not_loaded
from deeplab_dpc.export.onnx import METADATA_KEY
from deeplab_dpc.export.portable_graph import INPUT, OUTPUT
from deeplab_dpc.export.seal import read_sealed
from deeplab_dpc.installation import pip_line


class OnnxRuntime:
    """The Runtime of ONNX files.

    Args:
      path: path of the file.

    Raises:
      UserError: if ONNX Runtime is not installed, the file is damaged, or deeplab-dpc export did not write it.
    """

    def __init__(self, path: pathlib.Path):
        try:
            import onnxruntime
            from onnxruntime.capi import onnxruntime_pybind11_state as errors
        except ImportError as error:
            raise UserError(f"{path} needs onnxruntime; {pip_line('onnx')}.") from error
        model = read_sealed(path, "ONNX file")
        # Errors that another version of the runtime may raise.
        unknown = (
            errors.InvalidProtobuf,
            errors.InvalidGraph,
            errors.InvalidArgument,
            errors.Fail,
            errors.NotImplemented,
            errors.RuntimeException,
        )
        try:
            self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        except unknown as error:
            raise not_loaded(f"ONNX Runtime {onnxruntime.__version__}", path, error) from error
        try:
            facts = self._session.get_modelmeta().custom_metadata_map[METADATA_KEY]
            self.info = ModelInfo.from_json(json.loads(facts))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"The ONNX file {path} was not written by deeplab-dpc export: it has no `{METADATA_KEY}` in "
                "metadata_props that says what its class ids mean; export it again."
            ) from error
        height, width = self._session.get_inputs()[0].shape[1:3]  # names if the sides may have any size
        self.size = (height, width) if isinstance(height, int) else None

    def class_ids(self, images: np.ndarray) -> np.ndarray:
        """See Runtime."""
        ids: np.ndarray = self._session.run([OUTPUT], {INPUT: images})[0]
        return ids

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Raises a UserError, since an ONNX file has only class ids."""
        raise no_probabilities("An ONNX file")
