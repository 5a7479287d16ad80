"""ImageNet weights of Keras' MobileNetV2 (keras.applications) by the published names of the backbone."""

import functools
import os
import pathlib

import keras
import numpy as np

from deeplab_dpc.checkpoint.published import IMAGENET
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError

MODEL_VARIANT = "mobilenet_v2"
DEPTH_MULTIPLIERS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)  # of the weights that Keras publishes
NUM_BLOCKS = 17  # inverted residual blocks, arXiv:1801.04381, Table 2
SCOPE = "MobilenetV2"
IMAGE_SIZE = (224, 224, 3)  # input size of the published weights, which fit any size


def imagenet_arrays(config: ModelConfig) -> dict[str, np.ndarray]:
    """Returns the ImageNet weights for the backbone of a network, by published name.

    Raises:
      UserError: if Keras publishes no weights for the backbone, or they cannot be downloaded.
    """
    if config.model_variant != MODEL_VARIANT:
        raise UserError(
            f"--tf_initial_checkpoint={IMAGENET} is the MobileNetV2 of Keras and does not fit --model_variant="
            f"{config.model_variant}; give a published checkpoint instead, or --model_variant={MODEL_VARIANT}."
        )
    return application_arrays(download_mobilenet_v2(config.depth_multiplier))


def download_mobilenet_v2(depth_multiplier: float) -> keras.Model:
    """Returns Keras' MobileNetV2 with its ImageNet weights, from Keras' cache if it was downloaded before.

    Raises:
      UserError: if Keras publishes no weights for the multiplier, or they cannot be downloaded.
    """
    if depth_multiplier not in DEPTH_MULTIPLIERS:
        raise UserError(
            f"--tf_initial_checkpoint={IMAGENET} has --depth_multiplier {', '.join(map(str, DEPTH_MULTIPLIERS))}, "
            f"not {depth_multiplier}."
        )
    make = functools.partial(
        keras.applications.MobileNetV2,
        input_shape=IMAGE_SIZE,
        alpha=depth_multiplier,
        include_top=False,
        weights="imagenet",
    )
    folder = pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras") / "models"
    kept = list(folder.glob(f"mobilenet_v2_weights_*_{float(depth_multiplier)}_{IMAGE_SIZE[0]}_no_top.h5"))
    try:
        try:
            return make()
        except OSError:
            if not kept:
                raise
            for path in kept:  # A killed download left it incomplete, and Keras takes any file for complete.
                path.unlink(missing_ok=True)
            return make()
    except Exception as error:  # Keras raises a bare Exception if a download fails.
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"--tf_initial_checkpoint={IMAGENET} needs a network connection to download the weights ({reason}); "
            "without one, give the prefix of a TensorFlow 1 checkpoint or the directory of an earlier run."
        ) from error


def application_arrays(application: keras.Model) -> dict[str, np.ndarray]:
    """Returns the weights of a keras.applications.MobileNetV2 up to its 320-channel layer, by published name.

    Its last convolution (Conv_1, 1280 channels) and its classifier are left out: DeepLab's backbone has none.
    """
    arrays = {}
    for convolution, normalization, scope in _layers():
        leaf = "depthwise_weights" if scope.endswith("/depthwise") else "weights"
        arrays[f"{scope}/{leaf}"] = np.array(application.get_layer(convolution).kernel)
        batch_norm = application.get_layer(normalization)
        for statistic in ("gamma", "beta", "moving_mean", "moving_variance"):
            arrays[f"{scope}/BatchNorm/{statistic}"] = np.array(getattr(batch_norm, statistic))
    return arrays


def _layers() -> list[tuple[str, str, str]]:
    """Returns the (convolution, batch norm, published scope) of each layer; the first two are names in Keras."""
    layers = [("Conv1", "bn_Conv1", f"{SCOPE}/Conv")]
    for i in range(NUM_BLOCKS):
        block, scope = (f"block_{i}", f"expanded_conv_{i}") if i else ("expanded_conv", "expanded_conv")
        parts = ("expand", "depthwise", "project") if i else ("depthwise", "project")
        layers += [(f"{block}_{part}", f"{block}_{part}_BN", f"{SCOPE}/{scope}/{part}") for part in parts]
    return layers
