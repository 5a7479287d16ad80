"""The stages of `fit`: each runs the separate commands, with the flags of the plan.

data/            output of build_folder or build_shapes (absent with --data_dir)
check/           output of check_data
baseline/        run of train, with eval_val/
search/          run of search: scores of the cells by proxy, then the contest
final/           run of train that continues the best of the contest, or the baseline
comparison/      output of eval --compare
model/, model.tflite    the exported network
plan.json, verdict.json, index.html
"""

import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

from deeplab_dpc.checkpoint.run import fork_step, newest_progress
from deeplab_dpc.cli.fit_choices import Choice
from deeplab_dpc.cli.fit_commands import SHARED, Commands, step_seconds
from deeplab_dpc.cli.fit_page import INDEX, write_index
from deeplab_dpc.cli.fit_plan import LAST_RUN, SCHEDULE, network_choices, time_choices, too_short
from deeplab_dpc.cli.fit_plan_file import Plan
from deeplab_dpc.cli.fit_schedule import (
    BASELINE_SHARE,
    EVALUATION_SHARE,
    Fingerprint,
    candidates,
    cell_seconds,
    contest_cost,
    contest_steps,
    evaluation_interval,
    evaluation_seconds,
    final_reserve,
    final_steps,
    guessed_cell_seconds,
    search_seconds,
)
from deeplab_dpc.cli.fit_search_plan import OF_SEARCH, search_choices
from deeplab_dpc.cli.fit_sources import Sources, require_train_and_val, require_unchanged, sources_of
from deeplab_dpc.cli.fit_state import STAGES, Stages, command_line, run_command
from deeplab_dpc.cli.fit_verdict import read_verdict, write_verdict
from deeplab_dpc.cli.fit_weights import decide_weights
from deeplab_dpc.cli.flags.fit import OWN_DATA, Flags
from deeplab_dpc.config.base import one_weight_a_class
from deeplab_dpc.console import console
from deeplab_dpc.data.far_data import local_data_dir
from deeplab_dpc.data.inspection import REPORT_FILE
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json

REHEARSED = 4  # images in a batch of the rehearsal
MOST_EVALUATIONS, OF_PATIENCE = 5, 4  # during the last training, or that multiple of the patience of early stopping
EVALUATED_TIME = 0.1  # largest share of the time of that training that its evaluations may take
# Flags of a run that another one, with more time and from its network, does not take over.
OF_THIS_RUN = ("restore_moving_averages", "baseline_steps", "training_number_of_steps")
LEAST_CONTEST = 10  # steps; a contest of fewer is not worth the time of its starts
MOST_OF_BASELINE = 0.5  # largest share of the time for learning that the baseline may take if others follow
TRAINED = "baseline_trained"  # note of the number of steps at which the baseline's training ended
SHORT_SEARCH = 120.0  # seconds; in a shorter search, a measurement before it would take too much of the time


class Fit:
    """A runner of all stages in a workdir.

    Args:
      flags: flags of the command, with the backbone of --tf_initial_checkpoint.
      root: path of the workdir.
      stages: record of the finished stages and of their time.
      given: values of the flags given on the command line, by name, in the form that the planner takes.
      classes: value of --classes for the user's data; None if annotations name them, or there are no such data.
    """

    def __init__(
        self,
        flags: Flags,
        root: pathlib.Path,
        stages: Stages,
        given: Mapping[str, Any],
        classes: str | None,
    ):
        self.flags = flags
        self.root = root
        self.stages = stages
        self.given = given
        self.classes = classes
        self.baseline, self.final = root / "baseline", root / "final"
        self.search_dir, self.comparison = root / "search", root / "comparison"
        self.data_dir = local_data_dir(flags.data.data_dir) if flags.data.data_dir else root / "data"
        self.commands = Commands(flags, given, self.data_dir, self.baseline, self.search_dir)

    @property
    def is_embedded(self) -> bool:
        return not (self.flags.own.images or self.flags.own.pair_list or self.flags.data.data_dir)

    def run(self) -> None:
        """Runs the stages that are not done, and prints the result."""
        self._follow_sources()
        self.stages.show()
        for name in STAGES:
            if self.flags.plan_only and name == "baseline" and not self.stages.is_done("report"):
                console.print("The plan is made (--plan_only); the same command without it goes on.")
                return
            reason = self._left_out(name)
            if reason:
                self.stages.skip(name, reason)
            elif not self.stages.is_done(name):
                perform: Callable[[], None] = getattr(self, f"_{name}")
                with self.stages.stage(name):
                    perform()
            if name == "plan":
                self.plan.show()
        self._report()  # with the time of the last stage
        self.stages.show()
        if self.flags.plan_only:
            page = self.root / INDEX
            console.print(f"The run is finished; its plan (--plan_only) and its results are in {page}.", soft_wrap=True)
        verdict = read_verdict(self.root)
        for text in filter(None, (verdict["sentence"], verdict["note"])):
            console.print(text, soft_wrap=True)
        for what, path in (("report", INDEX), ("SavedModel", "model"), ("TFLite", "model.tflite")):
            if (self.root / path).exists():
                console.print(f"{what:<11}{self.root / path}")

    @property
    def plan(self) -> Plan:
        return Plan.read(self.root)

    def _left_out(self, name: str) -> str:
        if name == "convert" and self.flags.data.data_dir:
            return f"the data set in {self.data_dir} is prepared"
        if name in ("search", "contest") and not self.plan["search"]:
            return self.plan.choices["search"].reason
        return ""

    def _follow_sources(self) -> None:
        """Raises a UserError if the user's data have changed; before they passed the check, converts them again."""
        before = self.stages.sources
        if before is None:
            return
        if self.stages.is_done("check"):
            require_unchanged(self.root, before, self._sources())
        elif before != self._sources():
            self.stages.repeat("convert")

    def _sources(self) -> Sources:
        own = self.flags.own
        return sources_of([path for path in (own.images, own.labels, own.pair_list) if path])

    def _convert(self) -> None:
        if self.is_embedded:
            run_command("build_shapes", data_dir=self.data_dir, overwrite=True)
            return
        given = {name: self.given[name] for name in OWN_DATA if name in self.given}
        self.stages.record_sources(self._sources())
        # Data of an earlier start with other flags, which failed before the check was done, are overwritten.
        if self.classes is not None:
            given["classes"] = self.classes
        run_command("build_folder", **given, data_dir=self.data_dir, overwrite=True, check=False)

    def _check(self) -> None:
        run_command("check_data", data_dir=self.data_dir, output_dir=self.root / "check", **self.commands.of_data())
        if self.given.get("label_weights"):
            weights = tuple(self.flags.training["label_weights"])
            one_weight_a_class(weights, self.commands.dataset().info.num_classes)
        own = self.flags.own
        require_train_and_val(self.data_dir, self.commands.dataset().info, bool(own.images), own.group_by)

    def _plan(self) -> None:
        dataset = self.commands.dataset()
        report = read_json(self.root / "check" / REPORT_FILE, "report of check_data")
        data = Fingerprint.of_report(report, dataset.info, self.is_embedded)
        alignment = self.flags.network.config(dataset.info.num_classes).alignment
        accelerated = any(not device.startswith("cpu") for device in keras.distribution.list_devices())
        choices = network_choices(data, self.given, accelerated, alignment)
        crop = choices["train_crop_size"].value
        batch = int(self.given.get("train_batch_size", min(REHEARSED, data.train)))
        shared = self.commands.of_network({name: choices[name].value for name in SHARED if name in choices})
        measured, choices["precision"] = self.commands.rehearse(shared, crop, batch, accelerated, self.stages.left)
        choices |= time_choices(data, measured, self.stages.left, self.given, crop, alignment)
        Plan(self.root / "plan.json", data, measured, choices).write()
        warning = too_short(data, measured, choices, self.stages.used)
        if warning:
            console.print(warning, soft_wrap=True)

    def _baseline(self) -> None:
        plan = self.plan
        steps = plan["baseline_steps"]
        start = time.monotonic()
        is_free = not any(name in self.given for name in ("baseline_steps", "training_number_of_steps"))
        limit = self._baseline_limit(plan) if is_free else 0.0
        if TRAINED not in plan.notes:  # otherwise baseline_steps may be fewer than the run was started with
            self.commands.train(
                self.baseline,
                plan,
                steps,
                plan.get(SCHEDULE, 0),  # plans of earlier versions have none
                atrous_rates=plan["atrous_rates"],
                **self.commands.start(plan),
                base_learning_rate=plan["baseline_learning_rate"],
                eval_interval_steps=steps if LAST_RUN in plan.choices else 0,  # which draws predictions
                time_limit=round(limit, 1),
            )
            plan.note(TRAINED, newest_progress(self.baseline).step)
        trained, done = time.monotonic(), int(plan.notes[TRAINED])
        if done < steps:
            steps = plan.decide("baseline_steps", done, f"its steps took longer than planned: {steps:,}", replace=True)
        run_command("eval", workdir=self.baseline, split="val")
        plan.note("evaluation_seconds", time.monotonic() - trained)
        plan.note("step_seconds", step_seconds(self.baseline))
        # If the training was continued, this time does not include its earlier steps.
        started = trained - start - steps * plan.notes["step_seconds"]
        plan.note("start_seconds", max(started, 0.3 * plan.measured.start_seconds))
        self._plan_search_again(plan)
        if LAST_RUN not in plan.choices:
            decide_weights(plan, self.root / "check", self.baseline)

    def _baseline_limit(self, plan: Plan) -> float:
        """Returns the seconds after which the baseline's training should end, by the estimates of the rehearsal."""
        evaluation, start = evaluation_seconds(plan.data, plan.measured), plan.measured.start_seconds
        left = self.stages.left - final_reserve(plan.data, start, evaluation)
        return max(1.0, left - evaluation if LAST_RUN in plan.choices else MOST_OF_BASELINE * left)

    def _plan_search_again(self, plan: Plan) -> None:
        """Plans the search again, with the measurements of the baseline."""
        if LAST_RUN in plan.choices:  # the baseline is the only training
            return
        learning = (self.stages.left - plan.reserve_seconds - plan.notes["start_seconds"]) / (1 - BASELINE_SHARE)
        before, step = plan["search"], plan.notes["step_seconds"]
        each, rates = plan.finalist_seconds, plan["atrous_rates"]
        found = search_choices(plan.data, max(0.0, learning), step, each, self.given, plan["train_batch_size"], rates)
        plan.replace(OF_SEARCH, found)
        if plan["search"] != before:
            now = "a search after all" if plan["search"] else "no search"
            console.print(f"The baseline measured {step:.2f} s a step: {now}.")

    def _search(self) -> None:
        """Scores the warm starts first, to measure the time per cell, and then as many cells as the time allows."""
        plan, start = self.plan, time.monotonic()
        seconds = search_seconds(self.stages.left - plan.reserve_seconds)
        is_short = seconds < SHORT_SEARCH and "seconds_a_cell" not in plan.notes
        if not (plan.choices["num_candidates"].given or is_short or "seconds_a_cell" in plan.notes):
            self.commands.search(plan, num_candidates=0, rerank_top_k=0)
            rows = read_json(self.search_dir / "results.json", "search results")
            guessed = guessed_cell_seconds(plan["proxy_steps"], plan.notes["step_seconds"])
            measured = [row["seconds"] for row in rows if not row["given_up"]]
            plan.note("seconds_a_cell", cell_seconds(measured, guessed))
        if "seconds_a_cell" in plan.notes and "candidates_decided" not in plan.notes:
            rest = seconds - (time.monotonic() - start)
            count = candidates(rest, plan.notes["seconds_a_cell"], 0)
            reason = f"{plan.notes['seconds_a_cell']:.1f} s per cell, measured with the warm starts"
            plan.decide("num_candidates", count, reason, replace=True)
            plan.note("candidates_decided", count)
        self.commands.search(plan, num_candidates=plan["num_candidates"], rerank_top_k=0)

    def _contest(self) -> None:
        plan = self.plan
        warm = str(plan["warm_starts"]).split(",")
        finalists = len(warm) + min(plan["rerank_top_k"], plan["num_candidates"])
        rounds, seeds = plan["contest_rounds"], plan["contest_seeds"]
        step, each = plan.notes["step_seconds"], plan.finalist_seconds
        left = self.stages.left - plan.reserve_seconds - plan.notes["start_seconds"]
        steps = contest_steps(left, finalists, step, each, rounds, seeds, plan["most_steps"])
        total, short = self.given.get("training_number_of_steps"), f"the remaining {left:.0f} s are too short for"
        if total is not None and total // 2 < steps:
            steps, short = total // 2, f"half of --training_number_of_steps={total} is too few for"
        trainings, starts = contest_cost(finalists, rounds, seeds)
        cost = finalists * (steps * step * trainings + each * starts)
        reason = f"{finalists} finalists at {step:.2f} s a step, about {cost:.0f} s of the {left:.0f} s that are left"
        if "rerank_steps" in self.given:
            steps, reason = self.given["rerank_steps"], "given on the command line"
        elif steps < LEAST_CONTEST and "rerank_steps" not in plan.choices:
            reason = f"{short} a contest; the baseline is trained on instead"
            console.print(reason)
            plan.replace(OF_SEARCH, {"search": Choice(False, reason)})
            return
        if "rerank_steps" not in plan.choices:  # the contest of an earlier version has another schedule
            whole = final_steps(steps, max(0.0, left - cost), step, plan["most_steps"])
            whole = max(steps, self.given.get("training_number_of_steps", whole))
            plan.decide("rerank_schedule_steps", whole, "to about which the last training continues that of the best")
        plan.decide("rerank_steps", steps, reason)
        self.commands.search(plan, num_candidates=plan["num_candidates"], rerank_top_k=plan["rerank_top_k"])

    def _finish(self) -> None:
        plan = self.plan
        run = self.baseline
        if plan.get(LAST_RUN) == run.name:
            console.print(f"{LAST_RUN} = {run.name}: {plan.choices[LAST_RUN].reason}")
            return
        start: dict[str, Any] = {"fork_from": run, "atrous_rates": plan["atrous_rates"]}
        step = plan.notes["step_seconds"]
        if plan["search"]:
            best = read_json(self.search_dir / "verdict.json", "verdict of the search")["best"]
            if best is None or best["run"] is None:
                raise UserError(
                    "No finalist of the contest could be trained to its end; the reasons are in "
                    f"{self.search_dir / 'report.html'}. If they diverged, give a lower --base_learning_rate and "
                    "another --workdir, or --nosearch."
                )
            # Relative to the workdir, since the stored path may be relative to another current directory.
            run = self.search_dir.joinpath(*pathlib.Path(best["run"]).parts[-3:])
            start = {"fork_from": run, "dense_prediction_cell_json": self.search_dir / "cells" / "best.json"}
            step = step_seconds(run)
        evaluation = plan.notes["evaluation_seconds"]
        left = self.stages.left - plan.reserve_seconds - plan.notes["start_seconds"]
        patience = self.given.get("early_stopping_patience", 0)
        most = max(MOST_EVALUATIONS, OF_PATIENCE * patience)
        evaluations = max(1, min(most, int(EVALUATED_TIME * left / evaluation)))
        seconds = left - evaluations * EVALUATION_SHARE * evaluation
        last, why = self.final, "the training goes on"
        done = fork_step(run)  # less than its steps, since it goes on from before the fall of the learning rate
        total = self.given.get("training_number_of_steps")
        if total is not None and total <= done:
            last, why = run, f"it has the {total:,} steps of --training_number_of_steps"
        elif total is None and (seconds < 0 or done + int(seconds / step) <= newest_progress(run).step):
            last, why = run, "there is no time for more training, so the existing network is exported"
        if self.root / plan.decide(LAST_RUN, str(last.relative_to(self.root)), why) != self.final:
            return
        steps = final_steps(done, seconds, step, plan["most_steps"])
        reason = f"{done:,} are done, and {max(0.0, seconds):.0f} s are left, at {step:.2f} s a step"
        if steps == plan["most_steps"]:
            reason = f"{plan.choices['most_steps'].reason}; {seconds:.0f} s would be left for more"
        steps = plan.decide("training_number_of_steps", steps if total is None else total, reason)
        # If the steps take longer than they did in the baseline, the training gets fewer of them.
        # A single evaluation, at its end, is not known to the training beforehand.
        at_end = EVALUATION_SHARE * evaluation if evaluations == 1 else 0.0
        in_time = max(1.0, self.stages.left - plan.reserve_seconds - at_end)
        limit = in_time if total is None else 0.0
        interval = steps if evaluations == 1 else evaluation_interval(done, steps, evaluations)
        interval = plan.decide("eval_interval_steps", interval, f"about {evaluations} evaluations of val")
        self.commands.train(
            self.final,
            plan,
            steps,
            **start,
            **self.commands.weights(plan),
            base_learning_rate=plan["base_learning_rate"],
            eval_interval_steps=interval,
            early_stopping_patience=patience,
            time_limit=round(limit, 1),
        )
        trained = newest_progress(self.final).step
        if trained < steps:
            plan.decide("trained_steps", trained, f"the training ended before step {steps:,}", replace=True)

    def _judge(self) -> None:
        plan = self.plan
        last = self.root / plan["last_run"]
        if last != self.baseline:
            run_command("eval", workdir=last, split="val")
            run_command("eval", compare=f"{self.baseline},{last}", split="val", eval_logdir=self.comparison)
        verdict = write_verdict(self.root, plan)
        if "test" in self.commands.dataset().info.labelled_splits:
            run_command("eval", workdir=self.root / verdict["run"], split="test")
            write_verdict(self.root, plan)

    def _export(self) -> None:
        run = self.root / read_verdict(self.root)["run"]
        run_command("export", workdir=run, export_dir=self.root / "model")
        try:
            run_command("export", workdir=run, export_tflite=self.root / "model.tflite")
        except UserError as error:
            # The SavedModel suffices: some networks cannot be converted to TFLite, and that is not an error.
            self.plan.decide("export_tflite", None, f"no TFLite file was written: {error}")

    def _report(self) -> None:
        plan, verdict = self.plan, read_verdict(self.root)
        run = self.root / verdict["run"]
        trained = newest_progress(run).step
        network: dict[str, Any] = {"atrous_rates": plan["atrous_rates"]}
        if plan["search"] and run != self.baseline:
            network = {"dense_prediction_cell_json": self.search_dir / "cells" / "best.json"}
        more = self.commands.continuation(plan, run, 2 * trained, **network)
        kept = {name: value for name, value in self.stages.flags.items() if name not in OF_THIS_RUN}
        longer = {
            **kept,
            "hours": f"{2 * self.flags.hours:g}",
            "tf_initial_checkpoint": run,
            "workdir": "NEW",
        }
        write_index(self.root, plan, self.stages, more, command_line("fit", longer))
