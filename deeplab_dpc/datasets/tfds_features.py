"""Choice of the features of a TFDS data set with the images, the label ids, and the names of files and classes."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from deeplab_dpc.errors import UserError

# Names that decide if several features have the right type.
IMAGE_NAMES = ("image", "image_left")
LABEL_NAMES = ("segmentation_mask", "segmentation_label", "segmentation", "mask", "annotation", "label")
FILENAME_NAMES = ("file_name", "filename", "image/filename", "image_id")


@dataclasses.dataclass(frozen=True)
class Keys:
    """Names of features, nested ones as outer/inner.

    Attributes:
      image: name of an Image; its encoded bytes are read.
      label: name of an Image of ids, also read as bytes, or of a Tensor.
      label_is_encoded: bool, whether the label is an Image; otherwise it is a Tensor.
      filename: name of a Text, or None.
    """

    image: str
    label: str
    label_is_encoded: bool
    filename: str | None

    def decoding(self) -> tfds.decode.PartialDecoding:
        """Returns the decoding for `as_dataset`: these features only, images as bytes."""
        encoded = [self.image] + [self.label] * self.label_is_encoded
        names = [name for name in (self.image, self.label, self.filename) if name is not None]
        return tfds.decode.PartialDecoding(
            _nested(dict.fromkeys(names, True)), _nested({name: tfds.decode.SkipDecoding() for name in encoded})
        )


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *outer, last = name.split("/")
        inner = tree
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return tree


def choose_keys(builder: tfds.core.DatasetBuilder, image_key: str | None, label_key: str | None) -> Keys:
    """Returns the features to read.

    Args:
      builder: builder of the data set.
      image_key: name of the feature, or None for the Image with 3 channels.
      label_key: name of the feature, or None for the Image or integer Tensor with one channel.

    Raises:
      UserError: if a given feature is absent or has another type, or not exactly one feature fits.
    """
    features = _flat(builder.info.features)
    image = _choose(builder, "image", image_key, [name for name in features if _is_image(features[name])], IMAGE_NAMES)
    label = _choose(builder, "label", label_key, [name for name in features if _is_label(features[name])], LABEL_NAMES)
    if not isinstance(features[image], tfds.features.Image):
        raise UserError(f"--image_key={image} of {builder.data_path} is not an Image but {_shown(features[image])}.")
    label_is_encoded = isinstance(features[label], tfds.features.Image)
    if not label_is_encoded and not _is_label(features[label]):
        raise UserError(
            f"--label_key={label} of {builder.data_path} is neither an Image nor an integer Tensor with one channel "
            f"but {_shown(features[label])}."
        )
    filenames = (name for name in FILENAME_NAMES if isinstance(features.get(name), tfds.features.Text))
    return Keys(image, label, label_is_encoded, next(filenames, None))


def label_names(builder: tfds.core.DatasetBuilder, keys: Keys) -> tuple[str, ...] | None:
    """Returns the names of the label ids, if the data set has them."""
    feature = _flat(builder.info.features)[keys.label]
    if not isinstance(feature, tfds.features.LabeledImage) or not feature.num_classes:
        return None
    return tuple(feature.names)


def _flat(features: Any, prefix: str = "") -> dict[str, Any]:
    """Returns the features by name, sorted; nested ones by outer/inner."""
    if not isinstance(features, tfds.features.FeaturesDict):
        return {prefix.removesuffix("/"): features}
    return {
        name: feature for key in sorted(features) for name, feature in _flat(features[key], f"{prefix}{key}/").items()
    }


def _is_image(feature: Any) -> bool:
    return type(feature) is tfds.features.Image and feature.shape[-1] == 3


def _is_label(feature: Any) -> bool:
    if isinstance(feature, tfds.features.Image):
        return feature.shape[-1] == 1 and _is_integer(feature)
    if not isinstance(feature, tfds.features.Tensor):
        return False
    rank = len(feature.shape)
    return (rank == 2 or (rank == 3 and feature.shape[-1] == 1)) and _is_integer(feature)


def _is_integer(feature: Any) -> bool:
    return np.issubdtype(feature.np_dtype, np.integer) or feature.np_dtype == np.bool_


def _choose(
    builder: tfds.core.DatasetBuilder, role: str, given: str | None, fitting: list[str], known: tuple[str, ...]
) -> str:
    """Returns the given feature, the only fitting one, or the only fitting one with a known name."""
    features = _flat(builder.info.features)
    if given is not None:
        if given not in features:
            raise UserError(
                f"--{role}_key={given} is not a feature of {builder.data_path}; it has {_listed(features)}."
            )
        return given
    named = [name for name in fitting if name.rpartition("/")[2] in known]
    for names in (fitting, named):
        if len(names) == 1:
            return names[0]
    if fitting:
        raise UserError(
            f"Several features of {builder.data_path} could be the {role}; choose one with --{role}_key: "
            f"{', '.join(fitting)}."
        )
    raise UserError(
        f"No feature of {builder.data_path} looks like the {role}; choose one with --{role}_key: {_listed(features)}."
    )


def _listed(features: dict[str, Any]) -> str:
    return ", ".join(f"{name} ({_shown(feature)})" for name, feature in features.items())


def _shown(feature: Any) -> str:
    return f"{type(feature).__name__} {feature.shape}"
