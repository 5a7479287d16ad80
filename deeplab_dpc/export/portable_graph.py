"""The computation of TFLite and ONNX files: from images to class ids, with operations that all their runtimes have."""

from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.graph_predictor import GraphPredictor
from deeplab_dpc.layers import kernels

INPUT, OUTPUT = "image", "semantic"


def portable_function(predictor: GraphPredictor, spec: tf.TensorSpec, file_format: str) -> Any:
    """Returns a tf.function: `image` [batch, height, width, 3] -> {`semantic`: class ids int32 [batch, height, width]}.

    The weights are constants. All logits are upsampled: the predictor's own method, which interpolates only at borders,
    needs operations and dynamic sizes that mobile runtimes do not have.

    Args:
      predictor: the network with its padding and scales.
      spec: shape and type of the images, whose values are 0..255.
      file_format: name of the format in errors.

    Raises:
      UserError: on another backend than TensorFlow, or for bfloat16.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"{file_format} needs --backend=tensorflow; runs that were trained on JAX are exported as well."
        )
    if predictor.config.inference_dtype != "float32":
        raise UserError(
            f"--inference_dtype={predictor.config.inference_dtype} is for a SavedModel; {file_format} has no such "
            "operations, leave the flag out."
        )

    def class_ids(image: tf.Tensor) -> tf.Tensor:
        return kernels.argmax(predictor.scores(image))

    # Otherwise the converters would lose Keras' variables; freezing loses the names of inputs and outputs.
    frozen = convert_variables_to_constants_v2(tf.function(class_ids).get_concrete_function(spec))
    signature = [tf.TensorSpec(spec.shape, spec.dtype, name=INPUT)]
    return tf.function(lambda image: {OUTPUT: tf.nest.flatten(frozen(image))[0]}, signature)
