"""The network of a checkpoint, determined from its variables; other options are taken from the published networks."""

import dataclasses
import itertools
import os
import re
from collections.abc import Mapping
from typing import Any

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.library import load_cell, published_genotype, shipped_cells
from deeplab_dpc.checkpoint.mismatch import shortened
from deeplab_dpc.checkpoint.network_flags import (
    CELL_SCOPE,
    DECODER_STAGES,
    Shapes,
    aspp_flags,
    decoder_flags,
    logits_flags,
    scopes,
)
from deeplab_dpc.checkpoint.published import CHECKPOINTS, IMAGENET
from deeplab_dpc.checkpoint.restore import require_source, require_whole_network
from deeplab_dpc.checkpoint.same_parts import PUBLISHED_CELL, cell_beside, run_network
from deeplab_dpc.checkpoint.tf1 import CELL_SUFFIX, variable_shapes
from deeplab_dpc.checkpoint.weights_cache import located
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.config.base import listed
from deeplab_dpc.config.model import AUTO_DEEPLABS
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.backbones import backbone_class, variants_of_scope
from deeplab_dpc.models.backbones.mobilenet import MobileNet
from deeplab_dpc.models.backbones.resnet import ResNet

# Published values of options that variables do not determine.
ATROUS_RATES, ATROUS_OUTPUT_STRIDE = (6, 12, 18), 16  # arXiv:1706.05587, Sec. 3.3; in proportion at other strides
RESNET_MULTI_GRID = (1, 2, 4)  # arXiv:1706.05587, Sec. 4.1
LR_ASPP = {  # arXiv:1905.02244, Sec. 6.4
    "output_stride": 32,
    "image_pooling_crop_size": (769, 769),
    "image_pooling_stride": (4, 5),
    "image_se_uses_qsigmoid": True,
}
# Options for the rounding of MobileNetV2's channels: as published, and as in Keras.
ROUNDINGS: tuple[dict[str, int], ...] = ({}, {"divisible_by": 8})
SCOPES_OF_PUBLISHED_CELL = {
    "concat_projection",
    *(f"branch{i}_{part}" for i in range(5) for part in ("depthwise", "pointwise")),
}

WIDTH = ("depth_multiplier", "divisible_by", "nas_stem_output_num_conv_filters")  # options of the width of a backbone

Fields = dict[str, Any]  # fields of ModelConfig by name


@dataclasses.dataclass(frozen=True)
class FoundNetwork:
    """The options of a checkpoint's network that were not given.

    Attributes:
      source: name or path of the checkpoint.
      read: fields of ModelConfig that are determined by the variables, or by a file beside the checkpoint.
      assumed: fields that are not determined, with their published values.
      is_run: bool, whether the checkpoint is from a run, whose configuration determines all fields.
    """

    source: str
    read: Fields
    assumed: Fields
    is_run: bool = False

    def __str__(self) -> str:
        if self.is_run:
            return f"The network of {self.source} is that of the run."
        always = ("model_variant", "num_classes")
        told = {name: value for name, value in self.read.items() if name in always or value != _DEFAULTS[name]}
        parts = [f"by its variables {self._flags(told)}"] if told else []
        if self.assumed:
            parts.append(f"not in them and taken as published {self._flags(self.assumed)}")
        published = CHECKPOINTS.get(self.source)
        if published is not None and published.longest_side is not None:
            side = published.longest_side
            parts.append(f"published with images scaled to a longest side of {side} pixels, which is not done here")
        return f"The network of {self.source}: {'; '.join(parts)}." if parts else ""

    def _flags(self, fields: Fields) -> str:
        return " ".join(_flag(name, value, self.source) for name, value in fields.items())


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(ModelConfig)}


def _flag(name: str, value: Any, source: str) -> str:
    """Returns a field as a flag with the same value."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    if isinstance(value, Cell):
        named = next((each for each, cell in shipped_cells().items() if cell == value), f"{source}{CELL_SUFFIX}")
        return f"--{name}_json={named}"
    return f"--{name}={listed(value) if isinstance(value, tuple) else value}"


def find_network(source: str, given: Mapping[str, Any]) -> FoundNetwork:
    """Returns the network of a checkpoint.

    Args:
      source: prefix of a TensorFlow 1 checkpoint; name of a published one, which is downloaded if it is absent; or a
        run directory.
      given: fields of ModelConfig that are given and therefore not determined; they are not compared with the
        checkpoint.

    Raises:
      UserError: if there is no such checkpoint, or a required field is neither found nor given.
    """
    if "model_variant" in given:
        backbone_class(given["model_variant"])  # raises the error for an unknown variant
    require_whole_network(source)
    require_source(source)
    run_config = run_network(source)
    if run_config is not None:
        fields = {field.name: getattr(run_config, field.name) for field in dataclasses.fields(run_config)}
        return FoundNetwork(source, _without(given, fields), {}, is_run=True)
    stored = {name: shape for name, shape in variable_shapes(located(source)).items() if shape}
    read = {**_backbone(stored, source, given), **logits_flags(stored), **aspp_flags(stored), **decoder_flags(stored)}
    if "num_classes" not in {**read, **given}:
        raise UserError(
            f"{source} has no logits, so it can only start a training or a search: --tf_initial_checkpoint."
        )
    branches, stages = read.pop("atrous_rates", 0), read.pop("decoder_output_stride")
    assumed = _assumed({**read, **given})
    if CELL_SCOPE in scopes(stored) and "dense_prediction_cell" not in given:
        beside = cell_beside(source)
        part = assumed if beside is None else read
        part["dense_prediction_cell"] = _published_cell(stored, source) if beside is None else beside
    known = {**assumed, **read, **given}
    if branches and "atrous_rates" not in given:
        assumed["atrous_rates"] = _atrous_rates(branches, known["output_stride"], source)
    if stages:
        fitting = _decoder_strides(stored, known)
        if fitting:
            (read if len(fitting) == 1 else assumed)["decoder_output_stride"] = fitting[0]
    return FoundNetwork(source, _without(given, read), _without(given, assumed))


def find_backbone(source: str, given: Mapping[str, Any], run: str | os.PathLike[str] | None = None) -> Fields:
    """Returns the fields of the backbone and its width that a training must share with its initial checkpoint.

    Args:
      source: source as for `find_network`, also without logits; for `imagenet` the result is empty.
      given: fields of ModelConfig that are given, which are not returned.
      run: run directory of the training. If the run exists, the backbone is that of the run, and the checkpoint may be
        absent.

    Raises:
      UserError: if there is no such checkpoint, its backbone is unknown, or a given field contradicts it.
    """
    if "model_variant" in given:
        backbone_class(given["model_variant"])  # raises the error for an unknown variant
    if source == IMAGENET:
        return {}
    begun = None if run is None else run_network(os.fspath(run))
    if begun is not None:
        return _without(given, _backbone_of_run(begun))  # the given fields are compared with its whole configuration
    require_source(source)
    config = run_network(source)
    if config is not None:
        found = _backbone_of_run(config)
    else:
        stored = variable_shapes(located(source))
        found = _backbone(stored, source, given) or _backbone(stored, source, {})
    for name, value in given.items():
        if name in found and _is_another(name, value, found[name]):
            raise UserError(
                f"{_flag(name, value, source)} contradicts --tf_initial_checkpoint={source}, whose backbone has "
                f"{_flag(name, found[name], source)}: leave one of the two out."
            )
    return _without(given, found)


def _backbone_of_run(config: ModelConfig) -> Fields:
    options = {name: getattr(config, name) for name in WIDTH if name in backbone_class(config.model_variant).OPTIONS}
    told = {name: value for name, value in options.items() if value is not None}
    return {"model_variant": config.model_variant, **told}


def backbone_line(source: str, taken: Fields) -> str:
    """Returns a line on the fields that were taken from a checkpoint's backbone; empty if they are the defaults."""
    told = {name: value for name, value in taken.items() if value != _DEFAULTS[name]}
    shown = {name: value for name, value in taken.items() if name == "model_variant" or name in told}
    flags = " ".join(_flag(name, value, source) for name, value in shown.items())
    return f"The backbone is that of {source}: {flags}." if told else ""


def _is_another(name: str, given: Any, found: Any) -> bool:
    """Returns whether the weights cannot fit; uncertain cases are left to the restoring of the weights."""
    if name == "model_variant":
        return backbone_class(given).SCOPE != backbone_class(found).SCOPE
    return name == "depth_multiplier" and round(given, 2) != round(found, 2)


def _without(given: Mapping[str, Any], fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in given}


def _backbone(stored: Shapes, source: str, given: Mapping[str, Any]) -> Fields:
    """Returns the fields of the backbone and its options; empty if another backbone is given."""
    variants = [variant for scope in sorted(scopes(stored)) for variant in variants_of_scope(scope)]
    if "model_variant" in given:
        variants = [variant for variant in variants if variant == given["model_variant"]]
    elif not variants:
        raise UserError(f"{source} holds {shortened(sorted(scopes(stored)))}, of no known --model_variant.")
    for variant in variants:
        backbone = backbone_class(variant)
        if issubclass(backbone, ResNet) and f"{backbone.SCOPE}/{backbone.STEM[0][0]}/weights" not in stored:
            continue  # since the plain variant and "beta" share a scope
        if not issubclass(backbone, MobileNet):
            return {"model_variant": variant, **_auto_deeplab_channels(stored, variant, given)}
        if len(_blocks(stored, backbone)) == len(backbone.BLOCKS):  # since two variants share a scope
            return {"model_variant": variant, **_mobilenet_channels(stored, backbone)}
    return {"model_variant": variants[0]} if variants else {}


def _auto_deeplab_channels(stored: Shapes, variant: str, given: Mapping[str, Any]) -> Fields:
    entry = stored.get("hnasnet/cell_0/1x1/weights")
    if entry is None or "nas_stem_output_num_conv_filters" not in backbone_class(variant).OPTIONS:
        return {}
    genotype = given.get("genotype") or published_genotype()
    return {"nas_stem_output_num_conv_filters": entry[-1] // 2 ** genotype.path[0]}


def _blocks(stored: Shapes, backbone: type[MobileNet]) -> dict[str, int]:
    """Returns the output channels of a MobileNet's blocks, by name."""
    kernel = re.compile(rf"{backbone.SCOPE}/(expanded_conv\w*)/project/weights")
    return {match[1]: stored[match[0]][-1] for match in map(kernel.fullmatch, stored) if match}


def _mobilenet_channels(stored: Shapes, backbone: type[MobileNet]) -> Fields:
    """Returns the depth multiplier, and the rounding of channels if it differs from the published one."""
    held = _blocks(stored, backbone)
    widest, filters = f"{backbone.SCOPE}/Conv_1/weights", backbone.LAST_FILTERS
    if filters is None:
        filters = backbone.BLOCKS[-1].filters
        widest = f"{backbone.SCOPE}/expanded_conv_{len(backbone.BLOCKS) - 1}/project/weights"
    multiplier = round(stored.get(widest, (filters,))[-1] / filters, 2)
    for rounding in ROUNDINGS if "divisible_by" in backbone.OPTIONS else ROUNDINGS[:1]:
        units = backbone(depth_multiplier=multiplier, **rounding).units()
        if held == {unit.name: unit.filters for unit in units}:
            return {"depth_multiplier": multiplier, **rounding}
    return {"depth_multiplier": multiplier}


def _assumed(known: Fields) -> Fields:
    """Returns the assumed output stride, and assumed options that only some networks have."""
    variant = known["model_variant"]
    if variant in AUTO_DEEPLABS:
        return {"output_stride": (known.get("genotype") or published_genotype()).output_stride}
    if known.get("aspp_with_squeeze_and_excitation") and known.get("decoder_output_is_logits"):
        return dict(LR_ASPP)
    grid = {"multi_grid": RESNET_MULTI_GRID} if variant.endswith("_beta") else {}
    return {"output_stride": ModelConfig.output_stride, **grid}


def _published_cell(stored: Shapes, source: str) -> Cell:
    """Returns the published cell; raises a UserError if the branches are not those of that cell."""
    if {name.split("/")[1] for name in stored if name.startswith(f"{CELL_SCOPE}/")} == SCOPES_OF_PUBLISHED_CELL:
        return load_cell(PUBLISHED_CELL)
    raise UserError(
        f"{source} has another dense prediction cell than the published one, {PUBLISHED_CELL}: pass it "
        "with --dense_prediction_cell_json, since its variables do not contain its rates."
    )


def _atrous_rates(branches: int, output_stride: int, source: str) -> tuple[int, ...]:
    if branches != len(ATROUS_RATES):
        raise UserError(
            f"{source} has {branches} atrous branch{'es' if branches > 1 else ''}, and its variables do not "
            f"contain their rates: pass --atrous_rates with {branches}."
        )
    return tuple(rate * ATROUS_OUTPUT_STRIDE // max(output_stride, 1) for rate in ATROUS_RATES)


def _decoder_strides(stored: Shapes, known: Fields) -> list[tuple[int, ...]]:
    """Returns the possible strides of the decoder's stages, by the channels of the low-level features, finest first."""
    backbone = backbone_class(known["model_variant"])
    options = {name: known[name] for name in backbone.OPTIONS if name in known}
    strides = backbone(output_stride=known["output_stride"], **options).low_level_layers()
    tapped = tuple(sorted(stride for stride in strides if stride <= known["output_stride"]))
    network = backbone(output_stride=known["output_stride"], low_level_strides=tapped, **options)
    channels = [shape[-1] for shape in network.compute_output_shape((None, None, None, 3))[1]]
    wanted = [stored[name][-2:][0] for name in sorted(filter(DECODER_STAGES.fullmatch, stored))]
    fitting = itertools.product(*([s for s, c in zip(tapped, channels, strict=True) if c == each] for each in wanted))
    return sorted(each for each in fitting if sorted(set(each), reverse=True) == list(each))
