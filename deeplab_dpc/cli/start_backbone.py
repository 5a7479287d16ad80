"""The backbone of the checkpoint that a training or a search starts from, where no flags say another."""

from typing import Any

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.quiet import quiet_imports
from deeplab_dpc.console import console


def take_backbone(values: flags.FlagValues, run: str | None = None, say: bool = True) -> dict[str, Any]:
    """Makes variant and width of the backbone of --tf_initial_checkpoint the defaults of their flags.

    Args:
      values: the flags.
      run: directory of what the flags start; once it is begun, its own backbone counts.
      say: whether a line says what was taken over.

    Returns:
      What was taken over, by the names of the flags; nothing without a --tf_initial_checkpoint.

    Raises:
      UserError: if there is no such checkpoint, or flags that are given contradict it.
    """
    source = values.tf_initial_checkpoint
    if not source:
        return {}
    with quiet_imports():  # which loads Keras
        from deeplab_dpc.checkpoint.found_network import backbone_line, find_backbone
    taken = find_backbone(source, flag_groups.given_model_fields(values), run)
    for name, value in taken.items():
        values.set_default(name, value)
    line = backbone_line(source, taken)
    if line and say:
        console.print(line)
    return taken
