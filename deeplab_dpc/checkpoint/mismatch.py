"""Explaining why a checkpoint does not fit a network: the variables that tell, and the flags that would fit.

A network's options can be read off the names and shapes of its variables (tensorflow/models, research/deeplab).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.backbones import backbone_class, variants_of_scope

Shapes = Mapping[str, tuple[int, ...]]

# The parts of a network, and where their variables are.
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
SAME_WIDTH = 0.02  # relative; rounding of channels stays below it in the widest layer


def module_of(name: str, backbone_scope: str) -> str | None:
    """The part of a network that a variable belongs to; None for a scope that no network has."""
    scope = name.split("/")[0]
    if scope == backbone_scope:
        return BACKBONE
    if scope in (DECODER, LOGITS):
        return scope
    return HEAD if HEAD_SCOPES.fullmatch(scope) else None


def scopes(names: Iterable[str]) -> set[str]:
    """The outermost scopes."""
    return {name.split("/")[0] for name in names}


def shortened(names: Iterable[str], shown: int = 3) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


def require(wanted: Shapes, stored: Shapes, config: ModelConfig, source: str, unused: Collection[str] = ()) -> None:
    """Raises a UserError if the checkpoint does not have what is wanted of it.

    Args:
      wanted: shapes of the network's variables, by name.
      stored: shapes of the checkpoint's.
      config: of the network.
      source: the checkpoint's name in the message.
      unused: variables of the checkpoint that the network should have had, sorted.
    """
    missing = [name for name in wanted if name not in stored]
    differing = [name for name in wanted if name in stored and stored[name] != wanted[name]]
    if not (missing or differing or unused):
        return
    if missing:
        what = f"it has no {shortened(missing)}"
    elif differing:
        what = f"it has {shortened(f'{name} {stored[name]} (model: {wanted[name]})' for name in differing)}"
    else:
        what = f"the model has no {shortened(unused)}"
    backbone_scope = backbone_class(config.model_variant).SCOPE
    modules = {module_of(name, backbone_scope) for name in (*missing, *differing, *unused)}
    hints = []
    if BACKBONE in modules:
        incomplete = any(module_of(name, backbone_scope) == BACKBONE for name in missing)
        hints += _backbone_hints(wanted, stored, config, incomplete)
    hints += module_hints(modules, stored, config)
    hints = hints or ["choose the flags of the network that it holds"]
    raise UserError(f"{source} is the checkpoint of another model: {what}; {'; '.join(hints)}.")


def _backbone_hints(wanted: Shapes, stored: Shapes, config: ModelConfig, incomplete: bool) -> list[str]:
    backbone = backbone_class(config.model_variant)
    variants = [variant for scope in sorted(scopes(stored)) for variant in variants_of_scope(scope)]
    others = [variant for variant in variants if variant != config.model_variant]
    if config.searched is not None and config.model_variant in variants:
        return [_auto_deeplab_hint(wanted, stored, config, incomplete)]
    if incomplete and others:
        return [f"pass --model_variant={' or --model_variant='.join(others)}"]
    if incomplete and not variants:
        return [f"it holds {shortened(sorted(scopes(stored)))}, of no known --model_variant"]
    if incomplete:
        return [f"its {backbone.SCOPE} is not that of --model_variant={config.model_variant}"]
    if "depth_multiplier" not in backbone.OPTIONS:
        return []
    kernels = [name for name in wanted if name.startswith(f"{backbone.SCOPE}/") and name.endswith("/weights")]
    widest = max(kernels, key=lambda name: wanted[name][-1])
    ratio = stored[widest][-1] / wanted[widest][-1]
    if abs(ratio - 1) > SAME_WIDTH:
        return [f"pass --depth_multiplier={round(config.depth_multiplier * ratio, 2):g}"]
    if "divisible_by" not in backbone.OPTIONS:
        return []
    if config.divisible_by is None:
        return ["its channels are rounded to multiples of 8: pass --divisible_by=8"]
    return ["its channels are rounded otherwise: leave --divisible_by out"]


def _auto_deeplab_hint(wanted: Shapes, stored: Shapes, config: ModelConfig, incomplete: bool) -> str:
    """What to pass for a checkpoint that holds an Auto-DeepLab of another genotype or of other filters."""
    entry = "hnasnet/cell_0/1x1/weights"
    if incomplete or stored[entry][-1] == wanted[entry][-1]:
        return "its Auto-DeepLab is of another genotype: pass that one with --genotype_json"
    level = config.searched.path[0] if config.searched is not None else 0
    filters = stored[entry][-1] // 2**level
    return f"pass --model_variant=auto_deeplab --nas_stem_output_num_conv_filters={filters}"


def module_hints(modules: Collection[str | None], stored: Shapes, config: ModelConfig) -> list[str]:
    """What to pass so that these parts of the network (HEAD, DECODER, LOGITS) are the checkpoint's."""
    hints = []
    told: dict[str, Any] = {}
    if HEAD in modules:
        has_cell, has_aspp = CELL_SCOPE in scopes(stored), "aspp0" in scopes(stored)
        if has_cell and config.dense_prediction_cell is None:
            hints.append("it has a dense prediction cell: pass --dense_prediction_cell_json")
        elif has_cell:
            hints.append("it has another dense prediction cell: pass that one with --dense_prediction_cell_json")
        elif has_aspp and config.dense_prediction_cell is not None:
            hints.append("it has ASPP: leave --dense_prediction_cell_json out")
        elif not has_aspp:
            hints.append("it has no context module, so it can only start a training: --tf_initial_checkpoint")
        told |= {} if has_cell else _aspp_flags(stored)
    if DECODER in modules:
        told |= _decoder_flags(stored)
    if LOGITS in modules or DECODER in modules:
        told |= _logits_flags(stored)
    for flag, value in told.items():
        given = getattr(config, flag)
        if value != (len(given) if isinstance(given, tuple) else given):
            hints.append(_hint(flag, value, is_lraspp=told.get("decoder_output_is_logits", False)))
    return hints


def _aspp_flags(stored: Shapes) -> dict[str, Any]:
    """The flags that the variables of an ASPP tell; of atrous_rates, how many."""
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


def _decoder_flags(stored: Shapes) -> dict[str, Any]:
    """The flags that the variables of a decoder tell; of decoder_output_stride, how many."""
    flags: dict[str, Any] = {"decoder_output_stride": len(list(filter(DECODER_STAGES.fullmatch, stored)))}
    for kernel, (separable, sum_merge) in DECODER_KERNELS.items():
        if kernel in stored:
            is_logits = "decoder/feature_projection0/biases" in stored
            flags["decoder_output_is_logits"] = is_logits
            flags["decoder_use_sum_merge"] = sum_merge
            if not is_logits:  # else never separable
                flags["decoder_use_separable_conv"] = separable
            flags["decoder_filters"] = stored[kernel][-1]
    return flags


def _logits_flags(stored: Shapes) -> dict[str, Any]:
    classes = num_classes(stored)
    return {} if classes is None else {"num_classes": classes}


def num_classes(stored: Shapes) -> int | None:
    """Classes of a checkpoint; None if it has no logits."""
    decoder = _decoder_flags(stored)
    if decoder.get("decoder_output_is_logits"):
        return decoder["decoder_filters"]
    biases = stored.get("logits/semantic/biases")
    return biases[-1] if biases else None


def _hint(flag: str, value: Any, is_lraspp: bool) -> str:
    if flag == "decoder_output_stride":
        if not value:
            return "it has no decoder: leave --decoder_output_stride out"
        if value > 1:
            return f"it has a decoder of {value} stages: pass --decoder_output_stride with {value} strides"
        return f"it has a decoder: pass --decoder_output_stride={8 if is_lraspp else 4}"
    if flag == "atrous_rates":
        if not value:
            return "it has no atrous branches: leave --atrous_rates out"
        plural = "" if value == 1 else "s"
        return f"it has {value} atrous branch{'es' if plural else ''}: pass --atrous_rates with {value} rate{plural}"
    return f"pass --{flag}={str(value).lower()}"
