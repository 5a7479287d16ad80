"""The backbone of the checkpoint from which a training or a search starts, unless flags name another."""

from typing import Any

from deeplab_dpc.cli.flags.shared import NetworkFlags
from deeplab_dpc.cli.output import quiet_imports
from deeplab_dpc.console import console


def backbone_of(
    source: str | None, network: NetworkFlags, run: str | None = None, verbose: bool = True
) -> dict[str, Any]:
    """Returns the variant and the width of the backbone of --tf_initial_checkpoint, as defaults of their flags.

    Args:
      source: value of --tf_initial_checkpoint.
      network: flags of the network.
      run: run directory of the training or search; if it exists already, its own backbone is used.
      verbose: bool, whether to print the adopted values.

    Returns:
      The adopted values by the names of their flags; empty without a --tf_initial_checkpoint.

    Raises:
      UserError: if there is no such checkpoint, or flags that are given contradict it.
    """
    if not source:
        return {}
    with quiet_imports():  # which loads Keras
        from deeplab_dpc.checkpoint.found_network import backbone_line, find_backbone
    taken: dict[str, Any] = find_backbone(source, network.given_fields(), run)
    line = backbone_line(source, taken)
    if line and verbose:
        console.print(line)
    return taken
