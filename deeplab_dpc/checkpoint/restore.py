"""Restoring of models by variable name, from published checkpoints or runs of this package, with a report.

same_parts.py decides which parts of a checkpoint are the same as those of the model, beyond names and shapes.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from deeplab_dpc.checkpoint.keras_applications import imagenet_arrays
from deeplab_dpc.checkpoint.mismatch import require, shortened
from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.checkpoint.network_flags import BACKBONE, DECODER, HEAD, LOGITS, module_of
from deeplab_dpc.checkpoint.published import CHECKPOINTS, IMAGENET, is_name
from deeplab_dpc.checkpoint.run import read_weights
from deeplab_dpc.checkpoint.run_directory import latest_checkpoint
from deeplab_dpc.checkpoint.run_state import WEIGHTS, file_digest
from deeplab_dpc.checkpoint.same_parts import (
    other_decoder,
    other_head,
    other_logits,
    require_same_genotype,
    run_network,
)
from deeplab_dpc.checkpoint.tf1 import read_tf1_checkpoint, require_tf1_checkpoint
from deeplab_dpc.checkpoint.weights_cache import located
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import Segmenter
from deeplab_dpc.run_config import shipped_run


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """A report of the variables that were restored from a checkpoint, and of those that were not.

    Attributes:
      source: name or path of the checkpoint.
      restored: names of restored variables.
      initialized: names of variables that keep their initial values.
      reasons: reasons for keeping initial values, in sentences.
      unused: names of variables of the checkpoint that the model does not have.
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
            lines.append(f"  Not used from the checkpoint: {shortened(self.unused)}.")
        return "\n".join(lines)


def read_checkpoint(source: str, config: ModelConfig, moving_averages: bool = False) -> dict[str, np.ndarray]:
    """Returns the arrays of a source of weights by published name.

    Args:
      source: prefix of a TensorFlow 1 checkpoint; a run directory, for its latest checkpoint; or the name of a
        published checkpoint, or `imagenet` for the ImageNet weights that Keras publishes. A name always means the
        download (a file of that name is ./NAME).
      config: configuration of the network that the arrays are for.
      moving_averages: bool, whether the moving averages of a TensorFlow 1 checkpoint's variables are read instead of
        the variables.

    Raises:
      UserError: if the source is absent or damaged, or has no moving averages.
    """
    require_source(source, moving_averages)
    if source == IMAGENET:
        return imagenet_arrays(config)
    if run_network(source) is not None:
        return read_weights(latest_checkpoint(source))
    return read_tf1_checkpoint(located(source), moving_averages)


def require_source(source: str, moving_averages: bool = False) -> None:
    """Checks that weights can be read from a source, as far as is possible without reading them.

    Args:
      source: source of weights, see read_checkpoint.
      moving_averages: bool, whether the moving averages of its variables are requested.

    Raises:
      UserError: if there is no such source, or it has no moving averages.
    """
    is_run = run_network(source) is not None
    if moving_averages and (source == IMAGENET or is_run):
        raise UserError(f"{source} keeps no moving averages; leave --restore_moving_averages out.")
    if is_name(source):
        return
    if is_run:
        latest_checkpoint(source)
        return
    if pathlib.Path(source).is_dir():
        shipped = shipped_run(source, "tf_initial_checkpoint")
        if str(shipped) != str(pathlib.Path(source)):
            raise UserError(f"{source} is a directory of fit; give the run in it, {shipped}.")
        raise UserError(
            f"{source} is a directory but no run; give a run directory, the prefix of a TensorFlow 1 checkpoint "
            "(the part before .index) or the name of a published one."
        )
    require_tf1_checkpoint(source)


def source_digest(source: str) -> str:
    """Returns a digest of the weights of a source, independent of the place of its files.

    For a TensorFlow 1 checkpoint it is the SHA-256 of its index, which contains a checksum of each variable; for a run,
    that of the weights of its latest checkpoint.

    Args:
      source: source of weights, see read_checkpoint.

    Raises:
      UserError: if there is no such source.
    """
    require_source(source)
    if source == IMAGENET:
        return IMAGENET
    if run_network(source) is not None:
        return file_digest(latest_checkpoint(source).path / WEIGHTS)
    return file_digest(pathlib.Path(f"{located(source)}.index"))


def require_whole_network(source: str) -> None:
    """Raises a UserError for the name of a checkpoint with only a backbone."""
    if is_name(source) and (source == IMAGENET or CHECKPOINTS[source].dataset is None):
        raise UserError(f"{source} is a backbone without logits; it can only start a training or a search.")


def restore_model(model: Segmenter, source: str, moving_averages: bool = False) -> RestoreReport:
    """Restores every variable of the model, for evaluation, prediction and export.

    Classification layers that a checkpoint has below its backbone are not used.

    Raises:
      UserError: if a variable is missing or has another shape, or the checkpoint has a context module, decoder or
        logits that the model would ignore; the message names the first three variables.
    """
    require_whole_network(source)
    arrays = read_checkpoint(source, model.config, moving_averages)
    variables = named_variables(model)
    unused = sorted(arrays.keys() - variables.keys())
    ignored = [name for name in unused if module_of(name, model.backbone.name) not in (BACKBONE, None)]
    require(_shapes(variables), _shapes(arrays), model.config, source, ignored)
    return _assign(variables, arrays, source)


def restore_backbone(model: Segmenter, source: str, moving_averages: bool = False) -> RestoreReport:
    """Restores only the backbone of the model, to compute features.

    Raises:
      UserError: if the checkpoint lacks a part of the backbone.
    """
    require_same_genotype(model.config, source)
    arrays = read_checkpoint(source, model.config, moving_averages)
    variables = _below(model.backbone.name, named_variables(model))
    require(_shapes(variables), _shapes(arrays), model.config, source)
    return _assign(variables, arrays, source)


def restore_for_training(
    model: Segmenter,
    source: str,
    initialize_last_layer: bool = True,
    moving_averages: bool = False,
    last_layers_contain_logits_only: bool = False,
    other_classes: str | None = None,
) -> RestoreReport:
    """Restores the backbone, and the context module, decoder and logits if the checkpoint has the same ones.

    A context module (ASPP or a cell) or decoder other than the checkpoint's starts fresh, and the logits with it;
    logits with another number of classes start fresh. Equal shapes do not make a cell the same: the run's configuration
    or the file beside the checkpoint must confirm it, see same_parts.py. ASPP is the same if it has the same variables,
    and in a run the same rates in pixels; a published checkpoint does not contain its rates, which depend on the output
    stride. A decoder whose output is the logits is treated as logits.

    Args:
      model: network whose variables are overwritten.
      source: source of weights, see read_checkpoint.
      initialize_last_layer: bool, whether to restore the last layers if they fit; otherwise they start fresh.
      moving_averages: bool, see read_checkpoint.
      last_layers_contain_logits_only: bool, whether the last layers are only the logits, or also the context module and
        decoder.
      other_classes: difference between the checkpoint's classes and the model's, if they differ; the logits then start
        fresh.

    Raises:
      UserError: if the checkpoint lacks a part of the backbone, or a part of the context module.
    """
    require_same_genotype(model.config, source)
    arrays = read_checkpoint(source, model.config, moving_averages)
    stored = _shapes(arrays)
    variables = named_variables(model)
    parts = _parts(model, variables)
    require(_shapes(parts[BACKBONE]), stored, model.config, source)
    wanted = dict(parts[BACKBONE])
    if not initialize_last_layer and not last_layers_contain_logits_only:
        return _restored(wanted, variables, arrays, source, [_fresh_last_layers(bool(parts[DECODER]))])
    reasons = []
    for part, reason in (
        (HEAD, other_head(_shapes(parts[HEAD]), stored, model.config, source)),
        (DECODER, other_decoder(_shapes(parts[DECODER]), stored, model.config, source)),
    ):
        if reason is None:
            require(_shapes(parts[part]), stored, model.config, source)
            wanted |= parts[part]
        else:
            reasons.append(reason)
    if not reasons and other_classes is not None:
        reasons.append(f"The logits start fresh: the checkpoint has other classes ({other_classes}).")
    if not reasons:
        reason = other_logits(_shapes(parts[LOGITS]), stored, model.config, initialize_last_layer)
        if reason is None:
            wanted |= parts[LOGITS]
        else:
            reasons.append(reason)
    return _restored(wanted, variables, arrays, source, reasons)


def _restored(
    wanted: Mapping[str, Any],
    variables: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    source: str,
    reasons: list[str],
) -> RestoreReport:
    """Restores the wanted variables and returns the report; the others keep their initial values, for `reasons`."""
    fresh = tuple(sorted(variables.keys() - wanted.keys()))
    return dataclasses.replace(_assign(wanted, arrays, source), initialized=fresh, reasons=tuple(reasons))


def _fresh_last_layers(has_decoder: bool) -> str:
    decoder = ", the decoder" if has_decoder else ""
    return (
        f"The context module{decoder} and the logits start fresh, as --initialize_last_layer=false asks "
        "(--last_layers_contain_logits_only for only the logits)."
    )


def _parts(model: Segmenter, variables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the variables by part of the network."""
    parts: dict[str, dict[str, Any]] = {BACKBONE: {}, HEAD: {}, DECODER: {}, LOGITS: {}}
    for name, variable in variables.items():
        part = module_of(name, model.backbone.name) or HEAD
        if part == DECODER and model.config.decoder_output_is_logits:
            part = LOGITS
        parts[part][name] = variable
    return parts


def _below(scope: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: variable for name, variable in variables.items() if name.startswith(f"{scope}/")}


def _shapes(variables: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(variable.shape) for name, variable in variables.items()}


def _assign(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray], source: str) -> RestoreReport:
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return RestoreReport(source, tuple(variables), unused=tuple(sorted(arrays.keys() - variables.keys())))
