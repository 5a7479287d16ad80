"""Export of an ONNX file, for ONNX Runtime and other software: from images to class ids. Needs the extra `onnx`."""

import json
import logging
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.graph_predictor import GraphPredictor
from deeplab_dpc.export.model_info import ModelInfo
from deeplab_dpc.export.portable_graph import portable_function
from deeplab_dpc.export.seal import DIGITS, sealed
from deeplab_dpc.installation import pip_line

OPSET = 18  # the newest that tf2onnx writes; all opsets from 11 on have align-corners resizing
METADATA_KEY, DIGEST_KEY = "deeplab_dpc", "deeplab_dpc_sha256"
INT64 = 7  # onnx.TensorProto.INT64


def export_onnx(
    predictor: GraphPredictor, path: str | os.PathLike[str], info: ModelInfo, size: tuple[int, int] | None = None
) -> None:
    """Writes an ONNX file: `image` uint8 [batch, height, width, 3] -> `semantic` int32 [batch, height, width].

    It includes padding, normalisation, upsampling and argmax. `info` is in the file as JSON, in metadata_props under
    `deeplab_dpc`; the last entry of metadata_props is the SHA-256 of everything before it.

    Args:
      predictor: the network with its padding and scales.
      path: path of the file. If this function fails, the file may be incomplete.
      info: facts to store in the file.
      size: (height, width) in pixels that all images must have, which may be faster; None for any.

    Raises:
      UserError: as for portable_function and onnx_packages.
    """
    onnx, tf2onnx = onnx_packages()
    spec = tf.TensorSpec((None, *(size or (None, None)), 3), tf.uint8)
    function = portable_function(predictor, spec, "ONNX")
    # tf2onnx logs the traceback of an optimisation that it skips for MobileNetV3; the file is right without it.
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    model, _ = tf2onnx.convert.from_function(
        function,
        input_signature=function.input_signature,
        opset=OPSET,
        custom_op_handlers={"ResizeBilinear": (_resize_align_corners, [])},
    )
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(info.to_json())})
    onnx.checker.check_model(model)
    pathlib.Path(path).write_bytes(with_digest(model.SerializeToString()))


def with_digest(model: bytes) -> bytes:
    """Returns a serialized ModelProto whose metadata_props end with its digest.

    In the wire format of protocol buffers, fields appended to a message belong to it: here the tag and the length of an
    entry (field 14), of its key (field 1) and of its value (field 2).
    """
    key = DIGEST_KEY.encode("ascii")
    entry = bytes([0x0A, len(key), *key, 0x12, DIGITS])
    return sealed(model + bytes([0x72, len(entry) + DIGITS]) + entry)


def onnx_packages() -> tuple[Any, Any]:
    """Returns the packages onnx and tf2onnx.

    Raises:
      UserError: if they are not installed.
    """
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise UserError(f"ONNX needs tf2onnx and onnx; {pip_line('onnx')}.") from error
    return onnx, tf2onnx


def _resize_align_corners(graph: Any, node: Any, name: str, args: Any) -> None:
    """Converts a ResizeBilinear with aligned corners, the only kind here, to a Resize with an output size.

    tf2onnx would write a scale factor if both sizes are known. The product of a 32-bit factor and a side can be less
    than the required side, and ONNX rounds down, so that one pixel is missing (9 to 129, 17 to 33).
    """
    del name, args
    shapes, dtypes = node.output_shapes, node.output_dtypes
    images = graph.make_node("Transpose", [node.input[0]], {"perm": [0, 3, 1, 2]}).output[0]
    start, end = (
        graph.make_const(f"{node.name}/slice_{place}", np.array([place], np.int64)).output[0] for place in (0, 2)
    )
    batch_and_channels = graph.make_node("Slice", [graph.make_node("Shape", [images]).output[0], start, end]).output[0]
    size = graph.make_node("Cast", [node.input[1]], {"to": INT64}).output[0]
    sizes = graph.make_node("Concat", [batch_and_channels, size], {"axis": 0}).output[0]
    attributes = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    resized = graph.make_node("Resize", [images, "", "", sizes], attributes).output[0]
    graph.remove_node(node.name)
    graph.make_node(
        "Transpose",
        [resized],
        {"perm": [0, 2, 3, 1]},
        name=node.name,
        outputs=node.output,
        shapes=shapes,
        dtypes=dtypes,
    )
