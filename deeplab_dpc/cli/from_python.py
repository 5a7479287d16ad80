"""Offers the command `fit` as a function of Python."""

import dataclasses
import os
import pathlib

from absl import flags

from deeplab_dpc.api.arguments import naming_arguments, require_path
from deeplab_dpc.cli import fit as command
from deeplab_dpc.cli.fit_state import flag_text
from deeplab_dpc.cli.fit_verdict import VERDICT_FILE, read_verdict
from deeplab_dpc.cli.flags import fit as flag_module
from deeplab_dpc.cli.main import parse


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Holds the result of `fit`.

    Attributes:
      workdir: the folder of everything: `index.html`, `plan.json`, `model/` (SavedModel), `model.tflite`, the runs.
      run: the run of the network that ships, for `Segmenter.from_preset` and `Predictor`.
      miou: its mIOU on the split val, in [0, 1].
      sentence: the verdict: mIOU with its interval, what it beat and by how much.
    """

    workdir: pathlib.Path
    run: pathlib.Path
    miou: float
    sentence: str


@naming_arguments()
def fit(workdir: str | os.PathLike[str], *, hours: float = 1.0, **options: object) -> Fitted | None:
    """Makes a network that ships from images and labels in about a given time, as the command `fit` does.

    It converts, checks and plans, trains a baseline, searches cells and holds their contest if time and images allow,
    trains the best to the end, judges and exports it. Stopped at any moment, the same call goes on.

    Example:
        from deeplab_dpc import Segmenter, fit

        # Without data_dir: fit("R", images="photos", labels="masks", hours=1)
        fitted = fit("R", data_dir="DATA", hours=0.05, search=False, baseline_steps=2, training_number_of_steps=3)
        print(fitted.sentence)
        model = Segmenter.from_preset(fitted.run)

    Args:
      workdir: folder that everything is written to.
      hours: time that the whole may take, 0.01 or more.
      **options: flags of the command by name (docs/fit.md): `images` and `labels` or `data_dir`, without which the
        embedded data set is taken, `classes`, `tf_initial_checkpoint`, and any choice of the plan. Lists may be lists.

    Returns:
      What was made; None with `plan_only=True`, which only writes the plan.

    Raises:
      UserError: if an option is not possible, or the data cannot be used.
      TypeError: if there is no such option.
    """
    require_path("workdir", workdir)
    known = flags.FlagValues()
    flag_module.define_flags(known)
    if unknown := [name for name in options if name not in known]:
        raise TypeError(f"fit() has no option {unknown[0]!r}; `deeplab-dpc fit --helpfull` lists all.")
    given = {"workdir": os.fspath(workdir), "hours": hours, **options}
    argv = [f"--{name}={flag_text(value)}" for name, value in given.items() if value is not None]
    command.main(parse(flag_module, "fit", argv))
    root = pathlib.Path(workdir)
    if not (root / VERDICT_FILE).exists():
        return None
    verdict = read_verdict(root)
    return Fitted(root, root / verdict["run"], verdict["miou"], verdict["sentence"])
