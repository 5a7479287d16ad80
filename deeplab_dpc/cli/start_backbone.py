"""The backbone of the checkpoint that a training or a search starts from, where no flags say another."""

from typing import Any

from deeplab_dpc.cli.flags.shared import NetworkFlags
from deeplab_dpc.cli.quiet import quiet_imports
from deeplab_dpc.console import console


def backbone_of(source: str | None, network: NetworkFlags, run: str | None = None, say: bool = True) -> dict[str, Any]:
    """Returns variant and width of the backbone of --tf_initial_checkpoint, which are the defaults of their flags.

    Args:
      source: the checkpoint.
      network: the flags of the network.
      run: directory of what the flags start; once it is begun, its own backbone counts.
      say: whether a line says what was taken over.

    Returns:
      What was taken over, by the names of the flags; nothing without a --tf_initial_checkpoint.

    Raises:
      UserError: if there is no such checkpoint, or flags that are given contradict it.
    """
    if not source:
        return {}
    with quiet_imports():  # which loads Keras
        from deeplab_dpc.checkpoint.found_network import backbone_line, find_backbone
    taken: dict[str, Any] = find_backbone(source, network.given_fields(), run)
    line = backbone_line(source, taken)
    if line and say:
        console.print(line)
    return taken
