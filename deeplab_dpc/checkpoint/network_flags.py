"""Options of a network that the names and shapes of its variables determine (tensorflow/models, research/deeplab)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]

# The parts of a network, and the scopes of their variables.
BACKBONE, HEAD, DECODER, LOGITS = "backbone", "context module", "decoder", "logits"
CELL_SCOPE = "meta_architecture"
HEAD_SCOPES = re.compile(rf"image_pooling|aspp\d+(_depthwise|_pointwise)?|concat_projection|{CELL_SCOPE}")
ATROUS_SCOPES = re.compile(r"aspp([1-9]\d*)(_depthwise|_pointwise)?")
DECODER_STAGES = re.compile(r"decoder/feature_projection0(_\d+)?/weights")
# The first 3x3 kernel of a decoder -> whether it is separable, and whether the decoder adds its inputs.
DECODER_KERNELS = {
    "decoder/decoder_conv0_pointwise/weights": (True, False),
    "decoder/decoder_split_sep_conv0_pointwise/weights": (True, True),
    "decoder/decoder_conv0/weights": (False, True),
    "decoder/decoder_conv0/decoder_conv0_1/weights": (False, False),
}


def module_of(name: str, backbone_scope: str) -> str | None:
    """Returns the part of a network that a variable belongs to; None for a scope that no network has."""
    scope = name.split("/")[0]
    if scope == backbone_scope:
        return BACKBONE
    if scope in (DECODER, LOGITS):
        return scope
    return HEAD if HEAD_SCOPES.fullmatch(scope) else None


def scopes(names: Iterable[str]) -> set[str]:
    """Returns the outermost scopes of variables."""
    return {name.split("/")[0] for name in names}


def aspp_flags(stored: Shapes) -> dict[str, Any]:
    """Returns the flags that the variables of an ASPP determine; `atrous_rates` is only the number of rates."""
    held = scopes(stored)
    if "aspp0" not in held:
        return {}
    branches = {match[1] for match in map(ATROUS_SCOPES.fullmatch, held) if match}
    flags: dict[str, Any] = {"atrous_rates": len(branches), "add_image_level_feature": "image_pooling" in held}
    if branches:
        flags["aspp_with_separable_conv"] = "aspp1_depthwise" in held
    if "image_pooling" in held:
        flags["aspp_with_squeeze_and_excitation"] = "image_pooling/biases" in stored
    flags["aspp_with_concat_projection"] = "concat_projection" in held
    if "aspp0/weights" in stored:
        flags["aspp_convs_filters"] = stored["aspp0/weights"][-1]
    return flags


def decoder_flags(stored: Shapes) -> dict[str, Any]:
    """Returns the flags that the variables of a decoder determine; `decoder_output_stride` is only their number."""
    flags: dict[str, Any] = {"decoder_output_stride": len(list(filter(DECODER_STAGES.fullmatch, stored)))}
    for kernel, (separable, sum_merge) in DECODER_KERNELS.items():
        if kernel in stored:
            is_logits = "decoder/feature_projection0/biases" in stored
            flags["decoder_output_is_logits"] = is_logits
            flags["decoder_use_sum_merge"] = sum_merge
            if not is_logits:  # a decoder whose output is the logits is never separable
                flags["decoder_use_separable_conv"] = separable
            flags["decoder_filters"] = stored[kernel][-1]
    return flags


def logits_flags(stored: Shapes) -> dict[str, Any]:
    classes = num_classes(stored)
    return {} if classes is None else {"num_classes": classes}


def num_classes(stored: Shapes) -> int | None:
    """Returns the number of classes of a checkpoint; None if it has no logits."""
    decoder = decoder_flags(stored)
    if decoder.get("decoder_output_is_logits"):
        filters: int = decoder["decoder_filters"]
        return filters
    biases = stored.get("logits/semantic/biases")
    return biases[-1] if biases else None
