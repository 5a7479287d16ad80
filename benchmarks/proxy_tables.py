"""The measurements of benchmarks/proxy.py, and its tables."""

import contextlib
import dataclasses
import math
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from proxy_count import PARTS, Count, Step, count_step, total
from proxy_timing import Timing
from proxy_worker import PLAIN, PLAIN_XLA, Variant, Worker

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.console import console, print_table
from deeplab_dpc.search.reporting.projection import paper_plan

WHOLE_CELLS, WHOLE_STEPS = 20, 100
HALVING_RUNGS = 4


@dataclasses.dataclass
class Measured:
    """All timings of a variant.

    Attributes:
      variant: variant that was measured.
      timings: timing of each (round, cell), in order.
      starts: seconds for creating the form, in each of its processes.
      firsts: pairs (round, cell) of the cells that a process scored first.
      peak: peak memory in bytes.
    """

    variant: Variant
    timings: dict[tuple[int, str], Timing] = dataclasses.field(default_factory=dict)
    starts: list[float] = dataclasses.field(default_factory=list)
    firsts: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    peak: int = 0

    def start(self, stack: contextlib.ExitStack, cache: pathlib.Path, seed: int) -> None:
        """Starts a process for the cells that follow; the stack ends it."""
        self.worker = Worker(dataclasses.replace(self.variant, seed=seed), cache)
        stack.callback(self.worker.close)
        self.starts.append(self.worker.start_seconds)
        self._is_first = True

    def score(self, number: int, name: str, cell: Cell, steps: int) -> None:
        """Measures a cell in a round."""
        self.timings[number, name] = self.worker.score(cell, steps)
        if self._is_first:
            self.firsts.append((number, name))
            self._is_first = False

    def keep_peak(self) -> None:
        """Stores the peak memory of the process."""
        self.peak = max(self.peak, self.worker.peak_memory())

    def step_seconds_of(self, name: str) -> float:
        """Returns the seconds of a typical step of a cell."""
        return statistics.median(timing.step_seconds for (_, cell), timing in self.timings.items() if cell == name)

    @property
    def step_seconds(self) -> float:
        """Returns the seconds of a typical step of each cell, averaged over the cells."""
        return statistics.mean(self.step_seconds_of(name) for name in {cell: None for _, cell in self.timings})

    @property
    def first_overhead(self) -> float:
        """Returns the seconds in addition to the steps of the first cell of a process, with the creation of the
        form.
        """
        beside = [self.timings[place].overhead for place in self.firsts]
        return statistics.median(start + own for start, own in zip(self.starts, beside, strict=True))

    @property
    def later_overhead(self) -> float:
        """Returns the mean seconds in addition to the steps of a later cell; NaN if there are no others."""
        later = [timing.overhead for place, timing in self.timings.items() if place not in self.firsts]
        return statistics.mean(later) if later else math.nan

    @property
    def whole_seconds(self) -> float:
        """Returns the computed seconds of 20 cells with 100 steps each, including all overhead."""
        overheads = self.first_overhead + (WHOLE_CELLS - 1) * self.later_overhead
        return overheads + WHOLE_CELLS * WHOLE_STEPS * self.step_seconds

    @property
    def measured_seconds(self) -> float:
        """Returns the seconds of all cells, with the creation of the form."""
        return sum(self.starts) + sum(timing.seconds for timing in self.timings.values())

    @property
    def mious(self) -> list[float]:
        """Returns the mean mIOU over the cells of each round, in percent."""
        rounds = sorted({number for number, _ in self.timings})
        return [
            100.0 * statistics.mean(timing.miou for (own, _), timing in self.timings.items() if own == number)
            for number in rounds
        ]

    def to_json(self) -> dict[str, Any]:
        timings = [
            {"round": number, "cell": name, **dataclasses.asdict(timing)}
            for (number, name), timing in self.timings.items()
        ]
        variant = {**dataclasses.asdict(self.variant), "most_seconds": None}
        if math.isfinite(self.variant.most_seconds):
            variant["most_seconds"] = self.variant.most_seconds
        return {"variant": variant, "starts": self.starts, "peak_bytes": self.peak, "timings": timings}


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of a step, measured and counted.

    Attributes:
      variant: variant of the step.
      step: step that is counted.
      ceilings: ceilings of the device.
      seconds: seconds of each part.
    """

    variant: Variant
    step: Step
    ceilings: Any
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        counts = {name: dataclasses.asdict(count) for name, count in count_step(self.step).items()}
        ceilings = dataclasses.asdict(self.ceilings)
        return {"variant": str(self.variant), "ceilings": ceilings, "seconds": self.seconds, "counts": counts}


def _baseline(measured: Sequence[Measured]) -> Measured:
    """Returns the faster of the plain forms; the first form if there is none."""
    plain = [one for one in measured if one.variant.form in (PLAIN, PLAIN_XLA)]
    return min(plain, key=lambda one: one.step_seconds) if plain else measured[0]


def _figure(value: float, form: str, unit: str = "") -> str:
    """Returns a number as text, or a dash if it was not measured."""
    return "-" if math.isnan(value) else f"{value:{form}}{unit}"


def print_forms(title: str, measured: Sequence[Measured], is_whole: bool, has_real_labels: bool) -> None:
    """Prints one row per form: steps, overhead, 20 cells of 100 steps, memory."""
    base = _baseline(measured)

    def whole(one: Measured) -> float:
        return one.measured_seconds if is_whole else one.whole_seconds

    columns = ["form", "ms/step", "steps/s", "ratio", "first, s", "next, s"]
    columns += [f"{WHOLE_CELLS} x {WHOLE_STEPS}, s", "ratio", "GB"]
    rows = []
    for one in measured:
        step = one.step_seconds
        row = [str(one.variant), f"{1000 * step:.4g}", f"{1 / step:.3g}", f"{base.step_seconds / step:.2f} x"]
        row += [f"{one.first_overhead:.2f}", _figure(one.later_overhead, ".3f")]
        row += [_figure(whole(one), ".1f"), _figure(whole(base) / whole(one), ".2f", " x"), f"{one.peak / 1e9:.2f}"]
        if has_real_labels:
            spread = statistics.stdev(one.mious) if len(one.mious) > 1 else math.nan
            row.append(f"{statistics.mean(one.mious):.2f} ± {_figure(spread, '.2f')}")
        rows.append(row)
    print_table(title, [*columns, *(["mIOU, %"] if has_real_labels else [])], rows)
    console.print(
        "Steps: the median of each cell, averaged over the cells. `first` and `next`: what a process' first cell and "
        "each later one take beside the steps: building, tracing, compiling, scoring.\n"
        f"{WHOLE_CELLS} cells of {WHOLE_STEPS} steps with all that: "
        f"{'measured' if is_whole else 'computed from these'}. GB: peak of the process or of the accelerator. "
        f"Ratios are to `{base.variant}`."
    )


def print_projection(measured: Sequence[Measured]) -> None:
    """Prints the device hours of the paper's search, full and with successive halving."""
    plans = {"all steps": paper_plan(), f"{HALVING_RUNGS} rungs, eta 4": paper_plan(HALVING_RUNGS)}
    rows = []
    for one in measured:
        hours = [(plan.steps * one.step_seconds + plan.rungs * one.later_overhead) / 3600.0 for plan in plans.values()]
        rows.append(
            (str(one.variant), *(_figure(value, ",.1f") for value in hours), _figure(hours[0] / hours[1], ".1f", " x"))
        )
    title = "28,000 candidates of 30,000 steps at this size: hours of this device, with scoring as here"
    print_table(title, ("form", *plans, "ratio"), rows)


def print_parts(parts: Parts, measured: Sequence[Measured], cell: str) -> None:
    """Prints one row per part, then the time of the whole step beyond the parts."""
    ceilings, counts = parts.ceilings, count_step(parts.step)
    whole = next(one for one in measured if one.variant == parts.variant).step_seconds_of(cell)

    def row(name: str, seconds: float, count: Count, floor: float) -> tuple[str, ...]:
        return (
            name,
            f"{1000 * seconds:.2f}",
            f"{count.flop / 1e9:.2f}",
            f"{count.bytes / 1e9:.3f}",
            f"{100 * count.flop / ceilings.flops / seconds:.0f} %",
            f"{100 * count.bytes / ceilings.bandwidth / seconds:.0f} %",
            f"{1000 * floor:.2f}",
        )

    rows, floors, everything = [], 0.0, total(counts.values())
    for name in PARTS:
        if not counts[name].bytes:
            continue
        floor = counts[name].seconds(ceilings.flops, ceilings.bandwidth)
        floors += floor
        rows.append(row(name, parts.seconds[name], counts[name], floor))
    alone = sum(parts.seconds.values())
    rows.append(row("sum of the parts", alone, everything, floors))
    rows.append(("overhead", f"{1000 * (whole - alone):.2f}", *[""] * 5))
    rows.append(row("whole step", whole, everything, floors))
    title = (
        f"{cell}, {parts.variant}: {ceilings.flops / 1e9:,.0f} GFLOP/s of a dense product, "
        f"{ceilings.bandwidth / 1e9:,.1f} GB/s"
    )
    print_table(title, ("part", "ms", "GFLOP", "GB", "of arithmetic", "of bytes", "floor, ms"), rows)
    console.print(f"The step reaches {100 * floors / whole:.0f} % of what these ceilings allow.")
