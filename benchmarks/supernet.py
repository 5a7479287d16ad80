"""Seconds and memory of the steps of a search by gradient, compared with a plain form operator by operator, in one run.

    python benchmarks/supernet.py
    python benchmarks/supernet.py --forms=project,rematerialized --num_layers=12 --num_blocks=5 --filter_multiplier=8 \\
        --stem_filters=64 --crop=321 --search_batch_size=2
    KERAS_BACKEND=jax python benchmarks/supernet.py --forms=project,rematerialized

The forms alternate, each in a process of its own, with the same weights and batches of noise; the plain form
(plain_supernet.py, only TensorFlow and float32) computes the paper's equations, traced as one graph. The first step
of each kind, which traces and optimises or compiles, is reported separately. The losses of the first and last steps of
the weights show whether the forms compute the same.
"""

import contextlib
import dataclasses
import statistics
import sys

from absl import app, flags
from supernet_worker import ARCHITECTURE, FORMS, PLAIN, WEIGHTS, Variant, Worker

from deeplab_dpc.cli.flags.base import ConfigFields, FlagGroup, define_flags, fields_of, read_flags
from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.console import console, print_table
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import write_json

_SIZES = {"num_layers": 6, "num_blocks": 3, "filter_multiplier": 4, "stem_filters": 16, "search_batch_size": 4}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _SupernetFlags(FlagGroup):
    """The flags of the supernet."""

    supernet: ConfigFields[AutoDeepLabConfig] = fields_of(
        AutoDeepLabConfig, title="Auto-DeepLab", only=[*_SIZES, "supernet_precision"]
    )


define_flags(_SupernetFlags, flags.FLAGS)
for _name, _value in _SIZES.items():
    flags.FLAGS.set_default(_name, _value)
_CROP = flags.DEFINE_integer("crop", 129, "Height and width in pixels, a multiple of 32 plus 1.")
_NUM_CLASSES = flags.DEFINE_integer("num_classes", 11, "Channels of the logits.", lower_bound=1)
_FORMS = flags.DEFINE_list("forms", list(FORMS), f"What is compared, of {', '.join(FORMS)}.")
_STEPS = flags.DEFINE_integer("steps", 3, "Of each kind and round.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Alternations; the median of all steps counts.", lower_bound=1)
_JSON = flags.DEFINE_string("json", None, "File that gets all that was measured.")

flags.register_validator("crop", lambda side: side > 1 and side % 32 == 1, "must be a multiple of 32 plus 1")
flags.register_validator("forms", lambda names: names and set(names) <= set(FORMS), f"must be of {', '.join(FORMS)}")
flags.register_multi_flags_validator(
    ["forms", "supernet_precision"],
    lambda values: PLAIN not in values["forms"] or values["supernet_precision"] == "float32",
    f"--forms={PLAIN} computes in float32 alone; leave it out",
)


def _run() -> None:
    config = read_flags(_SupernetFlags, flags.FLAGS).supernet.make()
    kinds = (WEIGHTS, ARCHITECTURE)
    first: dict[tuple[str, str], tuple[float, float]] = {}  # seconds and loss
    last: dict[tuple[str, str], float] = {}  # loss
    seconds: dict[tuple[str, str], list[float]] = {(form, kind): [] for form in _FORMS.value for kind in kinds}
    with contextlib.ExitStack() as stack:
        workers = {}
        for form in _FORMS.value:
            worker = Worker(Variant(form, config, _NUM_CLASSES.value, _CROP.value))
            workers[form] = stack.enter_context(contextlib.closing(worker))
            for kind in kinds:
                (duration,), loss = worker.steps(kind, 1)
                first[form, kind] = duration, loss
        for _ in range(_ROUNDS.value):
            for form, worker in workers.items():
                for kind in kinds:
                    durations, last[form, kind] = worker.steps(kind, _STEPS.value)
                    seconds[form, kind] += durations
        peaks = {form: worker.peak_memory() for form, worker in workers.items()}
        device = next(iter(workers.values())).device()
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    reference = _FORMS.value[0]
    rows = [
        (
            FORMS[form],
            *(f"{first[form, kind][0]:.1f}" for kind in kinds),
            *(
                cell
                for kind in kinds
                for cell in (
                    f"{1000 * medians[form, kind]:.0f}",
                    f"{medians[form, kind] / medians[reference, kind]:.2f}",
                )
            ),
            f"{peaks[form] / 1e9:.2f}",
            f"{first[form, WEIGHTS][1]:.5f} {last[form, WEIGHTS]:.5f}",
        )
        for form in _FORMS.value
    ]
    space = f"L = {config.num_layers}, B = {config.num_blocks}, F = {config.filter_multiplier}"
    size = f"{config.search_batch_size} x {_CROP.value} x {_CROP.value}, {config.supernet_precision}"
    title = f"{space}, stem {config.stem_filters}, {size}; {device}"
    columns = ("form", "first w, s", "first a, s", "w, ms", "ratio", "a, ms", "ratio", "peak GB", "losses of w")
    print_table(title, columns, rows)
    console.print("w: a step of the weights, a: one of alphas and betas; medians, and ratios to the first form.")
    if _JSON.value:
        forms = {
            form: {
                "peak_memory": peaks[form],
                **{
                    kind: {
                        "first_seconds": first[form, kind][0],
                        "seconds": seconds[form, kind],
                        "losses": [first[form, kind][1], last[form, kind]],
                    }
                    for kind in kinds
                },
            }
            for form in _FORMS.value
        }
        write_json(_JSON.value, {"title": title, "forms": forms})


def main(argv) -> None:
    """Prints the table."""
    try:
        _run()
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    app.run(main)
