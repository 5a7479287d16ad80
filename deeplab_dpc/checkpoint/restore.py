"""Restoring a model by variable name, from a published checkpoint or from one of our runs, with a report."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.checkpoint.run import latest_checkpoint, load_weights
from deeplab_dpc.checkpoint.tf1 import read_tf1_checkpoint
from deeplab_dpc.config import CONFIG_FILE, ModelConfig, read_run
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import Segmenter, build_segmenter

LOGITS = "logits"


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """Which variables came from the checkpoint.

    Attributes:
      source: the checkpoint.
      restored: names that were restored.
      initialized: names that keep their fresh values, with the reason.
      unused: names of the checkpoint that the model does not have.
    """

    source: str
    restored: tuple[str, ...]
    initialized: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"Restored {len(self.restored)} variables from {self.source}."]
        lines += [f"  {reason}" for reason in self.reasons]
        if self.unused:
            lines.append(f"  Not used from the checkpoint: {_first(self.unused)}.")
        return "\n".join(lines)


def _run_config(source: str) -> ModelConfig | None:
    """The network of a run directory; None for a TensorFlow 1 checkpoint."""
    if not (pathlib.Path(source) / CONFIG_FILE).exists():
        return None
    return ModelConfig.from_json(read_run(source)["model"])


def read_checkpoint(source: str) -> Mapping[str, np.ndarray]:
    """Arrays by published name, of a TensorFlow 1 checkpoint prefix or of a run directory's latest checkpoint."""
    config = _run_config(source)
    if config is not None:
        model = build_segmenter(config)
        load_weights(latest_checkpoint(source), model)
        return {name: np.asarray(variable) for name, variable in named_variables(model).items()}
    if pathlib.Path(source).is_dir():
        raise UserError(
            f"{source} is a directory but no run; give a run directory or the prefix of a TensorFlow 1 checkpoint "
            "(the part before .index)."
        )
    return read_tf1_checkpoint(source)


def restore_model(model: Segmenter, source: str) -> RestoreReport:
    """Restores every variable of the model, for evaluation, prediction and export.

    Raises:
      UserError: if a variable is missing or has another shape, naming the first three.
    """
    arrays = read_checkpoint(source)
    variables = named_variables(model)
    _require(variables, arrays, source)
    _assign(variables, arrays)
    return RestoreReport(source, tuple(variables), unused=tuple(sorted(arrays.keys() - variables.keys())))


def restore_backbone(model: Segmenter, source: str) -> RestoreReport:
    """Restores the backbone alone, for features.

    Raises:
      UserError: if the checkpoint lacks a part of it.
    """
    arrays = read_checkpoint(source)
    variables = _below(model.backbone.name, named_variables(model))
    _require(variables, arrays, source)
    _assign(variables, arrays)
    return RestoreReport(source, tuple(variables), unused=tuple(sorted(arrays.keys() - variables.keys())))


def restore_for_training(model: Segmenter, source: str, initialize_last_layer: bool = True) -> RestoreReport:
    """Restores the backbone, and the context module and logits where the checkpoint has the same ones.

    Another context module than the checkpoint's (ASPP or a cell, or another cell) starts fresh, and the logits with
    it; logits of another number of classes start fresh.

    Raises:
      UserError: if the checkpoint lacks a part of the backbone, or a part of ASPP.
    """
    arrays = read_checkpoint(source)
    variables = named_variables(model)
    backbone = _below(model.backbone.name, variables)
    logits = _below(LOGITS, variables)
    head = {name: variable for name, variable in variables.items() if name not in backbone | logits}
    _require(backbone, arrays, source)
    wanted = dict(backbone)
    reasons = []
    same_head = _has_head(model, head, arrays, source)
    if same_head:
        _require(head, arrays, source)
        wanted.update(head)
    else:
        reasons.append("The context module is another one than the checkpoint's and starts fresh, with the logits.")
    if same_head and initialize_last_layer:
        differing = [name for name, variable in logits.items() if not _agrees(name, variable, arrays)]
        if differing:
            count = arrays[differing[0]].shape[-1] if differing[0] in arrays else 0
            reasons.append(
                f"The logits start fresh: the checkpoint has {count} classes, the model {model.config.num_classes}."
            )
        else:
            wanted.update(logits)
    elif same_head:
        reasons.append("The logits start fresh, as --initialize_last_layer=false asks.")
    _assign(wanted, arrays)
    return RestoreReport(
        source,
        tuple(wanted),
        tuple(sorted(variables.keys() - wanted.keys())),
        tuple(reasons),
        tuple(sorted(arrays.keys() - wanted.keys())),
    )


def _has_head(model: Segmenter, head: Mapping[str, Any], arrays: Mapping[str, np.ndarray], source: str) -> bool:
    """Whether the checkpoint's context module is the model's."""
    cell = model.config.dense_prediction_cell
    run_config = _run_config(source)
    if run_config is not None:
        return run_config.dense_prediction_cell == cell
    others = _scopes(arrays) - {model.backbone.name, LOGITS}
    if cell is None:
        return others == _scopes(head)
    return all(_agrees(name, variable, arrays) for name, variable in head.items())


def _below(scope: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: variable for name, variable in variables.items() if name.startswith(f"{scope}/")}


def _scopes(names: Iterable[str]) -> set[str]:
    return {name.split("/")[0] for name in names}


def _agrees(name, variable, arrays) -> bool:
    return name in arrays and tuple(arrays[name].shape) == tuple(variable.shape)


def _assign(variables, arrays) -> None:
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _require(variables, arrays, source: str) -> None:
    missing = [name for name in variables if name not in arrays]
    differing = [name for name in variables if name in arrays and not _agrees(name, variables[name], arrays)]
    if not missing and not differing:
        return
    parts = []
    if missing:
        parts.append(f"it has no {_first(missing)}")
    if differing:
        shapes = [f"{name} {tuple(arrays[name].shape)} (model: {tuple(variables[name].shape)})" for name in differing]
        parts.append(f"it has {_first(shapes)}")
    raise UserError(
        f"{source} is the checkpoint of another model: {' and '.join(parts)}{_hint(missing, differing, arrays)}."
    )


def _hint(missing, differing, arrays) -> str:
    scopes = _scopes(arrays)
    if "meta_architecture" in scopes and any(not name.startswith("meta_architecture") for name in missing):
        return "; it has a dense prediction cell: pass --dense_prediction_cell_json"
    if "aspp0" in scopes and any(name.startswith("meta_architecture") for name in missing):
        return "; it has ASPP: leave --dense_prediction_cell_json out"
    if not missing and differing and _scopes(differing) == {LOGITS}:
        return f"; pass --num_classes={arrays[differing[0]].shape[-1]}"
    return f"; it holds {_first(sorted(scopes))}: choose --model_variant and --depth_multiplier that fit"


def _first(names, shown: int = 3) -> str:
    names = list(names)
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest
