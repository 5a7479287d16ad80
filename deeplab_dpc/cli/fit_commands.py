"""The separate commands that `fit` runs, with the flags that the plan and the command line give."""

import contextlib
import io
import json
import pathlib
import statistics
import time
from collections.abc import Mapping
from typing import Any

import keras

from deeplab_dpc.checkpoint.run import newest_progress
from deeplab_dpc.cli.fit_choices import Choice
from deeplab_dpc.cli.fit_plan import faster_precision
from deeplab_dpc.cli.fit_plan_file import Plan
from deeplab_dpc.cli.fit_schedule import Measured, area
from deeplab_dpc.cli.fit_state import command_line, run_command
from deeplab_dpc.cli.fit_weights import WEIGHTS_AFTER
from deeplab_dpc.cli.flags.fit import Flags
from deeplab_dpc.cli.flags.shared import network_fields
from deeplab_dpc.config.train import BFLOAT16, FLOAT32, MOMENTUM
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.search.service.storage import JOURNAL
from deeplab_dpc.training.rehearsal import TIMED_STEPS, WARM_STEPS, has_bfloat16

# The seconds until a training's first step, as a share of a rehearsal's seconds outside its steps; a rehearsal compiles
# two batch sizes.
START_SHARE = 0.6
REHEARSAL_SHARE = 0.03  # largest share of the time that a second rehearsal, in bfloat16, may take
BASELINE_RATES = "6,12,18"  # rates of ASPP in the rehearsal
OF_DATA = ("dataset", "classes")
# Choices of the plan, and flags, that are the same for train and search.
SHARED = (
    "train_crop_size",
    "cache",
    "decoder_output_stride",
    "depth_multiplier",
    "min_scale_factor",
    "max_scale_factor",
)
DATA_FLAGS = (
    "min_scale_factor",
    "max_scale_factor",
    "scale_factor_step_size",
    "min_resize_value",
    "max_resize_value",
    "resize_factor",
    "photometric_jitter",
    "cache",
    "train_crop_size",
)


class Commands:
    """A runner of the separate commands with the flags of the plan.

    Args:
      flags: flags of fit.
      given: values of the flags given on the command line, by name, in the form that the planner takes.
      data_dir: directory of the prepared data set.
      baseline, search_dir: run directories of the baseline and of the search.
    """

    def __init__(
        self,
        flags: Flags,
        given: Mapping[str, Any],
        data_dir: pathlib.Path,
        baseline: pathlib.Path,
        search_dir: pathlib.Path,
    ):
        self.flags = flags
        self.given = given
        self.data_dir = data_dir
        self.baseline = baseline
        self.search_dir = search_dir

    def dataset(self) -> Dataset:
        """Returns the prepared data set."""
        data = self.flags.data
        return find_dataset(self.data_dir, data.dataset, data.fields["classes"] if data.data_dir else None)

    def rehearse(
        self, shared: dict[str, Any], crop: tuple[int, int], batch: int, accelerated: bool, left: float
    ) -> tuple[Measured, Choice]:
        """Returns the measured time and memory of a few training steps, and the precision: the faster one.

        Args:
          shared: flags of data and network, see `of_network`.
          crop: (height, width) of the crops, in pixels.
          batch: number of images in a batch.
          accelerated: bool, whether there is an accelerator.
          left: seconds that are left; bfloat16 is not rehearsed if that takes too large a share of them.
        """
        if "precision" in self.given:
            precision = str(self.given["precision"])
            given = Choice(precision, "given on the command line", given=True)
            return self._rehearsal(shared, crop, batch, precision), given
        start = time.monotonic()
        measured = self._rehearsal(shared, crop, batch, FLOAT32)
        seconds = time.monotonic() - start
        if not accelerated and not has_bfloat16():
            return measured, Choice(FLOAT32, "the processor has no instructions for bfloat16")
        if seconds > REHEARSAL_SHARE * left:
            return measured, Choice(FLOAT32, "there is too little time for a rehearsal in bfloat16 too")
        return faster_precision(measured, self._rehearsal(shared, crop, batch, BFLOAT16))

    def _rehearsal(self, shared: dict[str, Any], crop: tuple[int, int], batch: int, precision: str) -> Measured:
        start, output = time.monotonic(), io.StringIO()
        with contextlib.redirect_stdout(output):
            run_command(
                "train",
                data_dir=self.data_dir,
                dry_run=True,
                json=True,
                training_number_of_steps=1,
                train_batch_size=batch,
                precision=precision,
                atrous_rates=self.given.get("atrous_rates", BASELINE_RATES),
                **shared,
            )
        text = output.getvalue()
        found = json.loads(text[text.index("\n{") if "\n{" in text else 0 :])["rehearsal"]
        step = found["seconds_per_step"]
        steps = (TIMED_STEPS + WARM_STEPS) * step + WARM_STEPS * step / found["batch_size"]
        seconds = max(1.0, START_SHARE * (time.monotonic() - start - steps))
        each = max(step / found["batch_size"], found["input_seconds_per_batch"] / batch)
        memory = found["memory_needed"] / batch
        return Measured((crop[0], crop[1]), each, seconds, memory, found["memory_available"])

    def train(self, workdir: pathlib.Path, plan: Plan, steps: int, schedule: int = 0, **more: Any) -> None:
        """Starts or continues a training; `more` are flags of this training only.

        Args:
          workdir: the run directory.
          plan: the plan.
          steps: number of steps.
          schedule: number of steps of the schedule of the learning rate, if these steps are only its beginning.
        """
        ends_early = schedule > steps > 1
        if ends_early:
            more["early_end_step"] = steps
        # A killed training loses at most the steps of a minute.
        images = plan["train_batch_size"] * area(plan["train_crop_size"]) / area(plan.measured.crop)
        step = plan.notes.get("step_seconds", plan.measured.seconds_per_image * images)
        often = max(1, int(60 / max(step, 0.01)))
        interval = plan.decide(f"save_interval_steps of {workdir.name}", min(500, often), "a minute at most is lost")
        run_command(
            "train",
            **self._training(workdir, plan, schedule if ends_early else steps),
            log_steps=max(1, min(50, steps // 10)),
            save_interval_steps=interval,
            **_clones(plan["train_batch_size"]),
            **{**self._shared(plan), **more},
        )

    def continuation(self, plan: Plan, run: pathlib.Path, steps: int, **network: Any) -> str:
        """Returns the command line that continues the training of a run, as text.

        Args:
          plan: the plan.
          run: run directory, from which a new one is forked.
          steps: number of steps, including those of the run.
          network: flags of the context module.
        """
        chosen = {**self._shared(plan), **self.weights(plan), **network}
        training = self._training("NEW", plan, steps)
        rate = plan["base_learning_rate"]
        return command_line("train", {"fork_from": run, **training, "base_learning_rate": rate, **chosen})

    def _training(self, workdir: object, plan: Plan, steps: int) -> dict[str, Any]:
        return {
            "workdir": workdir,
            "training_number_of_steps": steps,
            "train_batch_size": plan["train_batch_size"],
            "optimizer": self._optimizer(plan),
            "precision": self._precision(plan),
        }

    def search(self, plan: Plan, **more: Any) -> None:
        """Starts or continues the search; `more` sets its extent (num_candidates, rerank_top_k)."""
        names = ("proxy_steps", "proxy_batch_size", "proxy_learning_rate", "feature_views", "warm_starts")
        given = ("num_branches", "cell_rates", "cell_grids", "cell_operations", "max_params", "max_madds")
        run_command(
            "search",
            workdir=self.search_dir,
            storage=f"journal:{self.search_dir / JOURNAL}",  # whatever the environment names for other searches
            retry_given_up=True,  # a process that was killed often is no reason to leave a finalist out
            lease_seconds=30,  # of the only worker: a start in another container does not wait long for the one before
            tf_initial_checkpoint=self.baseline,
            lookahead=1,
            num_best=5,
            rerank_steps=plan.get("rerank_steps", 2 ** plan["contest_rounds"]),
            rerank_schedule_steps=plan.get("rerank_schedule_steps", 0),
            rerank_batch_size=plan["train_batch_size"],
            rerank_optimizer=self._optimizer(plan),
            rerank_learning_rate=plan["base_learning_rate"],
            rerank_precision=self._precision(plan),
            contest_rounds=plan["contest_rounds"],
            contest_seeds=plan["contest_seeds"],
            **{name: plan[name] for name in names},
            **{name: self.given[name] for name in given if name in self.given},
            **{**self._shared(plan), **self.weights(plan)},
            **more,
        )

    def weights(self, plan: Plan) -> dict[str, Any]:
        """Returns the flag of the label weights that were decided after the baseline; empty if there are none."""
        return {"label_weights": plan[WEIGHTS_AFTER]} if plan.get(WEIGHTS_AFTER) else {}

    def _shared(self, plan: Plan) -> dict[str, Any]:
        chosen = {name: plan[name] for name in SHARED if name in plan.choices}
        if plan["label_weights"]:
            chosen["label_weights"] = plan["label_weights"]
        return {"data_dir": self.data_dir, **self.of_network(chosen)}

    def _optimizer(self, plan: Plan) -> str:
        return str(plan.get("optimizer", MOMENTUM))  # plans of earlier versions do not name it

    def _precision(self, plan: Plan) -> str:
        return str(plan.get("precision", self.given.get("precision", FLOAT32)))  # nor this

    def start(self, plan: Plan) -> dict[str, Any]:
        """Returns the flags of the initial weights of the baseline; empty if there are none."""
        if plan["tf_initial_checkpoint"] is None:
            return {}
        averages = {"restore_moving_averages": True} if self.flags.start.restore_moving_averages else {}
        return {"tf_initial_checkpoint": plan["tf_initial_checkpoint"], **averages}

    def of_network(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the flags of data and network that train and search share, except the rates of ASPP."""
        names = (*network_fields(), "genotype_json", *DATA_FLAGS, "seed")
        shared = {name: self.given[name] for name in names if name in self.given and name != "atrous_rates"}
        return {**chosen, **shared, **self.of_data()}

    def of_data(self) -> dict[str, Any]:
        """Returns the flags besides --data_dir that name a prepared data set; empty if --data_dir is not given."""
        return {name: self.given[name] for name in OF_DATA if name in self.given} if self.flags.data.data_dir else {}


def _clones(batch: int) -> dict[str, int]:
    """Returns the flag of the number of devices if the batch cannot be shared evenly by all of them."""
    count = sum(not device.startswith("cpu") for device in keras.distribution.list_devices())
    return {"num_clones": max(n for n in range(1, count + 1) if batch % n == 0)} if count and batch % count else {}


def step_seconds(run: pathlib.Path) -> float:
    """Returns the median seconds per step in the rows of a run's newest checkpoint."""
    return statistics.median(float(row["seconds_per_step"]) for row in newest_progress(run).rows)
