"""The computation of a SavedModel: from uint8 images, or JPEG and PNG files, to class ids and probabilities."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from deeplab_dpc.config import SavedModelOptions
from deeplab_dpc.export.graph_predictor import GraphPredictor
from deeplab_dpc.layers import kernels
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import Segmenter


class FrozenNetwork:
    """A network whose weights are constants of one function that all its calls share; it replaces a Segmenter.

    Users of its SavedModel need not keep variables alive, and the SavedModel contains the weights once, whatever the
    number of signatures, scales and flips.
    """

    def __init__(self, segmenter: Segmenter):
        self.config = segmenter.config
        function = tf.function(lambda images: segmenter(images, training=False))
        spec = tf.TensorSpec([None, None, None, 3], tf.float32)
        self._function = convert_variables_to_constants_v2(function.get_concrete_function(spec))

    def __call__(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        if training:
            raise ValueError("A frozen network cannot be trained.")
        return tf.nest.flatten(self._function(images))[0]


class ServingGraph:
    """Class ids and probabilities computed as in a SavedModel; an ImagePredictor.

    Args:
      predictor: the network with its scales, flips and padding.
      options: options of the SavedModel.
    """

    def __init__(self, predictor: GraphPredictor, options: SavedModelOptions):
        options.check(predictor.config, predictor.averages)
        self.predictor = predictor
        self.options = options
        self.num_classes = predictor.num_classes
        self.check_size = predictor.check_size
        self._predict_batch = tf.function(self.class_ids, reduce_retracing=True)
        self._predict_probabilities = tf.function(self.probabilities, reduce_retracing=True)

    def class_ids(self, image: tf.Tensor) -> tf.Tensor:
        """Predicts class ids: uint8 [batch, height, width, 3] -> int32 [batch, height, width]."""
        predict = self._coarse_class_ids if self.options.argmax_before_upsampling else self.predictor.class_ids
        # Class ids cannot be interpolated; the published export takes the nearest, too (export_model.py).
        return self._at_most_max_side(image, lambda x: tf.cast(predict(x), tf.int32)[..., tf.newaxis], "nearest")[
            ..., 0
        ]

    def probabilities(self, image: tf.Tensor) -> tf.Tensor:
        """Predicts probabilities: uint8 [batch, height, width, 3] -> float32 [batch, height, width, num_classes]."""
        return self._at_most_max_side(image, self.predictor.probabilities, "bilinear")

    def encoded(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """Predicts class ids: JPEG or PNG files [batch] -> PNG files with one channel [batch].

        Images are predicted one after another, since the images of a batch may differ in size: a server combines the
        requests of several clients into one batch. An EXIF orientation is ignored, as in tf.io.decode_image.
        """

        def answer(file: tf.Tensor) -> tf.Tensor:
            image = tf.io.decode_image(file, channels=3, expand_animations=False)
            image = tf.ensure_shape(image, [*(self.options.export_size or (None, None)), 3])
            ids = self.class_ids(image[tf.newaxis])[0]
            return tf.io.encode_png(tf.cast(ids, tf.uint8)[..., tf.newaxis])

        return tf.map_fn(answer, image_bytes, fn_output_signature=tf.string, parallel_iterations=1)

    def predict_batch(self, images: np.ndarray) -> np.ndarray:
        """Predicts class ids as NumPy array, see class_ids."""
        ids: np.ndarray = self._predict_batch(tf.constant(images)).numpy()
        return ids

    def predict_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Predicts probabilities as NumPy array, see probabilities."""
        probabilities: np.ndarray = self._predict_probabilities(tf.constant(images)).numpy()
        return probabilities

    def _coarse_class_ids(self, image: tf.Tensor) -> tf.Tensor:
        """Returns the class ids computed at the size of the logits and upsampled by nearest neighbour, with aligned
        corners.
        """
        assert isinstance(self.predictor, Predictor)  # SavedModelOptions.check refuses the mean of several
        padded = self.predictor.class_ids.pad(image)
        ids = kernels.argmax(self.predictor.segmenter(padded, training=False))
        sides, (height, width) = tf.shape(padded)[1:3], tf.unstack(tf.shape(image)[1:3])
        upsampled = tf.raw_ops.ResizeNearestNeighbor(images=ids[..., tf.newaxis], size=sides, align_corners=True)
        return upsampled[:, :height, :width, 0]

    def _at_most_max_side(self, image: tf.Tensor, answer: Callable[[Any], Any], method: str) -> tf.Tensor:
        """Returns `answer(image)` [batch, height, width, channels], computed on a smaller image if a side exceeds
        `max_side` and scaled to the size of the image.
        """
        if self.options.max_side is None:
            return answer(image)
        size = tf.shape(image)[1:3]
        longer = tf.reduce_max(size)
        is_larger = longer > self.options.max_side
        scale = tf.cast(self.options.max_side / longer, tf.float32)
        smaller = tf.maximum(tf.cast(tf.round(tf.cast(size, tf.float32) * scale), tf.int32), 1)
        pixels = tf.cond(
            is_larger,
            lambda: tf.image.resize(image, smaller, antialias=True),
            lambda: tf.cast(image, tf.float32),
        )
        result = answer(pixels)
        resize = functools.partial(tf.image.resize, result, size, method=method)
        return tf.cond(is_larger, resize, lambda: result)
