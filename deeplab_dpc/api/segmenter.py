"""A segmentation network as a Keras model: from images of any size to logits of their size."""

import os
import pathlib
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any, Self, Unpack, cast

import keras
from keras import ops

from deeplab_dpc.api.arguments import naming_arguments
from deeplab_dpc.api.loaded import (
    AS_EVALUATED,
    Classes,
    as_evaluated,
    is_checkpoint,
    model_of_checkpoint,
    model_of_run,
    network_of_run,
)
from deeplab_dpc.api.options import ModelOptions, model_config
from deeplab_dpc.arch.fitting import aligned_side
from deeplab_dpc.checkpoint.published import is_name, meant_names
from deeplab_dpc.checkpoint.run_directory import LATEST
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.data.class_rules import check_palette
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Color, pascal_palette
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.padding import pad_with_pixel
from deeplab_dpc.models.precision import dtype_policy
from deeplab_dpc.models.segmenter import Segmenter as Network
from deeplab_dpc.models.segmenter import build_segmenter

KERAS_FILE = ".keras"
TRAINING_STEPS = 1000  # for which the batch norm decay is 0.99, the one of Keras' own layer


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class Segmenter(keras.Model):
    """A Keras model from images to the logits of each pixel.

    Images are [batch, height, width, 3] with values in 0..255, of any size; logits are float32 [batch, height, width,
    num_classes]. Internally, images are padded to sides of a multiple of the output stride plus 1, such as 513, and the
    logits of the padding are cut off, as in all predictions of this package.

    The model is compiled, trained and saved like any other. Labels are integers [batch, height, width]. Its parts
    `backbone`, `head`, `decoder` and `logits` can be frozen (`model.backbone.trainable = False`); a frozen batch norm
    keeps its statistics.

    Example:
        import keras
        import numpy as np
        from deeplab_dpc import Segmenter

        model = Segmenter(num_classes=3, depth_multiplier=0.1, dense_prediction_cell="dpc_top1")
        model.backbone.trainable = False
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
        model.compile("adam", loss)

        images = np.random.randint(0, 256, (4, 65, 65, 3), "uint8")
        masks = np.random.randint(0, 3, (4, 65, 65))
        model.fit(images, masks, batch_size=2, verbose=0)
        model.save("model.keras")
        same = keras.models.load_model("model.keras")
        class_ids = same.predict(images, verbose=0).argmax(axis=-1)

    Args:
      num_classes: number of classes, >= 1.
      class_names: names of the classes in the order of their ids; class_0, class_1, ... by default.
      palette: (red, green, blue) of each class, in 0..255; the colour map of PASCAL VOC by default.
      ignore_label: id of unlabelled pixels.
      training_steps: number of steps for which the model is going to be trained; the moving averages of batch norm span
        at most a tenth of them (decay 0.99 for 1000 steps, the published 0.9997 from 33,334 on).
      name: name of the Keras model.
      dtype: dtype policy of the activations, such as 'mixed_bfloat16'; variables and logits are float32.
      trainable: bool, whether the variables are trained.
      **options: options of the network, by the names of DeepLab's flags: model_variant, output_stride,
        dense_prediction_cell (a Cell, a file, or the name of a cell), atrous_rates, decoder_output_stride, ...;
        deeplab_dpc.config.ModelConfig documents each.

    Raises:
      UserError: if a value is invalid.
      TypeError: if there is no such option.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        class_names: Sequence[str] | None = None,
        palette: Sequence[Color] | None = None,
        ignore_label: int = DEFAULT_IGNORE_LABEL,
        training_steps: int = TRAINING_STEPS,
        name: str = "segmenter",
        dtype: Any = None,
        trainable: bool = True,
        **options: Unpack[ModelOptions],
    ):
        # Under a half precision policy Keras would round the images before they are normalised.
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        with naming_arguments(), dtype_policy(self.dtype_policy):
            config = model_config(num_classes, options)
            names = [f"class_{i}" for i in range(num_classes)] if class_names is None else list(class_names)
            colors = pascal_palette(num_classes) if palette is None else tuple(palette)
            _check_classes(names, colors, num_classes)
            network = build_segmenter(config, training_steps)
        self.network = network
        self.class_names = tuple(names)
        self.palette = tuple((int(red), int(green), int(blue)) for red, green, blue in colors)
        self.ignore_label = ignore_label
        self.training_steps = training_steps
        self.supports_jit = kernels.JIT_COMPILE
        if not trainable:
            self.trainable = False
        self.build((None, None, None, 3))

    @classmethod
    @naming_arguments(workdir="source", run_checkpoint="checkpoint", checkpoint_path="source")
    def from_preset(
        cls,
        source: str | os.PathLike[str],
        *,
        checkpoint: str | int = LATEST,
        num_classes: int | None = None,
        classes: str | os.PathLike[str] | None = None,
        training_steps: int = TRAINING_STEPS,
        **options: Unpack[ModelOptions],
    ) -> Self:
        """Returns a model with the weights of a run, of a `.keras` file or of a published checkpoint.

        Example:
            import numpy as np
            from deeplab_dpc import Segmenter

            model = Segmenter.from_preset("RUN", checkpoint="best")
            model.summary()
            logits = model.predict(np.zeros((1, 65, 81, 3), "uint8"), verbose=0)

        Args:
          source: a run directory of `train` or deeplab-dpc train, a file that `save` wrote, the prefix of a TensorFlow
            1 checkpoint (the part before .index), or the name of a published one, which is downloaded once.
          checkpoint: checkpoint of a run: 'latest', 'best' or a step.
          num_classes, classes: number of classes of a TensorFlow 1 checkpoint, and their names or a file of them.
          training_steps: number of steps for which the model is going to be trained, see the class; a `.keras` file has
            its own.
          **options: options of the network, see the class: for a TensorFlow 1 checkpoint those that its variables do
            not determine, for a run output_stride and atrous_rates, which may differ from those of its training.

        Raises:
          UserError: if there is no such source, or it does not fit.
        """
        path, is_published = pathlib.Path(source), is_name(os.fspath(source))
        if is_published or not path.is_dir():
            only_for_runs(checkpoint)
        if path.suffix == KERAS_FILE:
            _only_for_checkpoints(num_classes, classes, *options)
            return cast(Self, load_file(cls, path))
        if path.is_dir() and not is_published:
            _only_for_checkpoints(num_classes, classes, *(name for name in options if name not in AS_EVALUATED))
            loaded = model_of_run(path, str(checkpoint), as_evaluated(network_of_run(path), options))
            return cls.of_network(loaded.segmenter, loaded, training_steps)
        if not is_checkpoint(source):
            raise UserError(
                f"`source={os.fspath(source)!r}` is neither a run directory, a {KERAS_FILE} file nor a checkpoint: "
                f"there is no {path.name}.index, and no published one of that name{meant_names(str(source)) or '.'}"
            )
        classes_given = {} if num_classes is None else {"num_classes": num_classes}
        loaded = model_of_checkpoint(os.fspath(source), {**options, **classes_given}, classes)
        return cls.of_network(loaded.segmenter, loaded, training_steps)

    @classmethod
    def of_network(cls, network: Network, classes: Classes, training_steps: int = TRAINING_STEPS) -> Self:
        """Returns a model with the weights of a network of this package.

        Args:
          network: network from images to logits at its own stride.
          classes: object with `class_names`, `palette` and `ignore_label`.
          training_steps: see the class.
        """
        model = cls(
            **network.config.to_json(),
            class_names=classes.class_names,
            palette=classes.palette,
            ignore_label=classes.ignore_label,
            training_steps=training_steps,
        )
        model.network.set_weights(network.get_weights())
        return model

    @property
    def config(self) -> ModelConfig:
        """Returns the configuration of the network."""
        return self.network.config

    @property
    def backbone(self) -> keras.layers.Layer:
        """Returns the part from images to features."""
        return self.network.backbone

    @property
    def head(self) -> keras.layers.Layer:
        """Returns the context module: the dense prediction cell or ASPP."""
        return self.network.head

    @property
    def decoder(self) -> keras.layers.Layer | None:
        """Returns the decoder; None if there is none."""
        return self.network.decoder

    @property
    def logits(self) -> keras.layers.Layer | None:
        """Returns the last convolution; None if the decoder's output is the logits."""
        return self.network.logits

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """Returns the parts, in order."""
        return [part for part in (self.backbone, self.head, self.decoder, self.logits) if part is not None]

    def build(self, input_shape: Any) -> None:
        self.built = True  # The network's variables are made in the constructor.

    def call(self, images: Any, training: bool = False) -> Any:
        height, width = ops.shape(images)[1:3]
        sides = [aligned_side(side, self.config.alignment) for side in (height, width)]
        padding = [[0, 0], [0, sides[0] - height], [0, sides[1] - width], [0, 0]]
        padded = pad_with_pixel(ops.cast(images, "float32"), padding, self.config.mean_pixel)
        logits = self.network(padded, training=training)
        return kernels.resize_align_corners(logits, *sides)[:, :height, :width]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:3], self.config.num_classes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self.config.to_json(),
            "class_names": list(self.class_names),
            "palette": [list(color) for color in self.palette],
            "ignore_label": self.ignore_label,
            "training_steps": self.training_steps,
            "frozen": _frozen(self.network),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        frozen = set(config.get("frozen", ()))
        model = cls(**{name: value for name, value in config.items() if name != "frozen"})
        for path, layer in _below(model.network):
            if path in frozen:
                layer.trainable = False
        return model


def only_for_runs(checkpoint: str | int) -> None:
    """Raises a UserError if a checkpoint was chosen for a source that has only one."""
    if checkpoint != LATEST:
        raise UserError(f"`checkpoint={checkpoint!r}` is for a run directory, which holds several; leave it out.")


def load_file(cls: type[Any], path: pathlib.Path, is_compiled: bool = True) -> Any:
    """Returns the model of a Keras file.

    Args:
      cls: class of the model.
      path: path of the file.
      is_compiled: bool, whether the loss, the metrics and the optimizer are loaded too; a prediction needs none.

    Raises:
      UserError: if there is no such file, it is damaged, or holds another model.
    """
    if not path.is_file():
        raise UserError(f"`source={os.fspath(path)!r}` does not exist; give a file that `save` wrote.")
    if not zipfile.is_zipfile(path):
        raise UserError(f"`source={os.fspath(path)!r}` is not a Keras file, or is cut off; save the model again.")
    try:
        model = keras.saving.load_model(path, compile=is_compiled)
    except (TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"`source={os.fspath(path)!r}` cannot be loaded ({reason}); if it was compiled with a loss or a metric of "
            "your own, import the module that registers it before."
        ) from error
    if not isinstance(model, cls):
        raise UserError(f"`source={os.fspath(path)!r}` holds a {type(model).__name__}, no {cls.__name__}.")
    return model


def _only_for_checkpoints(num_classes: Any, classes: Any, *options: str) -> None:
    given = [*(["num_classes"] if num_classes is not None else []), *(["classes"] if classes else []), *options]
    if given:
        raise UserError(f"`{given[0]}` is for a TensorFlow 1 checkpoint; leave it out.")


def _check_classes(names: Sequence[str], palette: Sequence[Color], num_classes: int) -> None:
    if len(names) != num_classes:
        raise UserError(f"`class_names` must be {num_classes} names, got {len(names)}.")
    check_palette([list(color) for color in palette], num_classes, "the arguments")


def _frozen(network: Network) -> list[str]:
    """Returns the paths of the uppermost layers that are not trained."""
    above: list[str] = []
    for path, layer in _below(network):
        if not layer.trainable and not any(path.startswith(f"{other}/") for other in above):
            above.append(path)
    return above


def _below(layer: keras.layers.Layer, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Returns all layers below one with their paths, each before the layers below it."""
    for child in layer._flatten_layers(include_self=False, recursive=False):
        path = f"{prefix}{child.name}"
        yield path, child
        yield from _below(child, f"{path}/")
