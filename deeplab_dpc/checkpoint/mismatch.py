"""Explanations why a checkpoint does not fit a network: the differing variables, and the flags that would fit.

network_flags.py determines a network's options from the names and shapes of its variables.
"""

from collections.abc import Collection, Iterable
from typing import Any

from deeplab_dpc.checkpoint.network_flags import (
    BACKBONE,
    CELL_SCOPE,
    DECODER,
    HEAD,
    LOGITS,
    Shapes,
    aspp_flags,
    decoder_flags,
    logits_flags,
    module_of,
    scopes,
)
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.backbones import backbone_class, variants_of_scope

SHOWN = 3  # names in a message
SAME_WIDTH = 0.02  # relative difference; the rounding of channels causes less in the widest layer


def shortened(names: Iterable[str]) -> str:
    """Returns the first names and the number of the others, as text."""
    names = list(names)
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest


def require(wanted: Shapes, stored: Shapes, config: ModelConfig, source: str, unused: Collection[str] = ()) -> None:
    """Raises a UserError if the variables of a checkpoint and of a network do not fit.

    Args:
      wanted: shapes of the network's variables, by name.
      stored: shapes of the checkpoint's variables, by name.
      config: configuration of the network.
      source: name of the checkpoint in the message.
      unused: sorted names of variables of the checkpoint that the network lacks but should have.
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
    """Returns the flags for a checkpoint with an Auto-DeepLab of another genotype or with other filters."""
    entry = "hnasnet/cell_0/1x1/weights"
    if incomplete or stored[entry][-1] == wanted[entry][-1]:
        return "its Auto-DeepLab is of another genotype: pass that one with --genotype_json"
    level = config.searched.path[0] if config.searched is not None else 0
    filters = stored[entry][-1] // 2**level
    return f"pass --model_variant=auto_deeplab --nas_stem_output_num_conv_filters={filters}"


def module_hints(modules: Collection[str | None], stored: Shapes, config: ModelConfig) -> list[str]:
    """Returns hints with the flags for which these parts of the network (HEAD, DECODER, LOGITS) fit the checkpoint."""
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
        told |= {} if has_cell else aspp_flags(stored)
    if DECODER in modules:
        told |= decoder_flags(stored)
    if LOGITS in modules or DECODER in modules:
        told |= logits_flags(stored)
    for flag, value in told.items():
        given = getattr(config, flag)
        if value != (len(given) if isinstance(given, tuple) else given):
            hints.append(_hint(flag, value, is_lraspp=told.get("decoder_output_is_logits", False)))
    return hints


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
