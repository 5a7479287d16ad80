"""The file plan.json: the plan of `fit`, the reason of each choice, measurements, and decisions of later stages."""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any, Self

from deeplab_dpc.cli.fit_choices import Choice, Choices
from deeplab_dpc.cli.fit_schedule import EVALUATION_SHARE, Fingerprint, Measured, final_reserve
from deeplab_dpc.cli.fit_state import flag_text
from deeplab_dpc.console import console, print_table
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json, write_json

PLAN_FILE = "plan.json"


class Plan:
    """The plan of `fit` in a workdir.

    Args:
      path: path of plan.json.
      data: fingerprint of the data set.
      measured: measurements of the rehearsal.
      choices: choices by name.
      notes: measurements of later stages by name, most of them in seconds.
    """

    def __init__(
        self,
        path: pathlib.Path,
        data: Fingerprint,
        measured: Measured,
        choices: Choices,
        notes: dict[str, float] | None = None,
    ):
        self.path = path
        self.data = data
        self.measured = measured
        self.choices = choices
        self.notes = notes or {}

    @classmethod
    def read(cls, root: pathlib.Path) -> Self:
        """Returns the plan in plan.json of a workdir.

        Raises:
          UserError: if the file is absent or damaged.
        """
        path = root / PLAN_FILE
        value = read_json(path, "plan")
        try:
            return cls(
                path,
                Fingerprint(**value["fingerprint"]),
                Measured(**value["measured"]),
                {name: Choice(**choice) for name, choice in value["choices"].items()},
                dict(value["notes"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"The plan {path} is damaged; give another --workdir.") from error

    def write(self) -> None:
        """Writes plan.json, completely or not at all."""
        choices = {name: dataclasses.asdict(choice) for name, choice in self.choices.items()}
        value = {
            "fingerprint": dataclasses.asdict(self.data),
            "measured": dataclasses.asdict(self.measured),
            "choices": choices,
            "notes": self.notes,
        }
        write_json(self.path, value)

    def __getitem__(self, name: str) -> Any:
        return self.choices[name].value

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the value of a choice, or the default if there is no such choice."""
        return self.choices[name].value if name in self.choices else default

    @property
    def finalist_seconds(self) -> float:
        """Returns the seconds of the start and the evaluation of a finalist, measured with the baseline."""
        return self.notes["start_seconds"] + EVALUATION_SHARE * self.notes["evaluation_seconds"]

    @property
    def reserve_seconds(self) -> float:
        """Returns the seconds of the stages after the last training, measured with the baseline."""
        return final_reserve(self.data, self.notes["start_seconds"], self.notes["evaluation_seconds"])

    def note(self, name: str, seconds: float) -> None:
        """Adds a measurement of a stage, and writes plan.json."""
        self.notes[name] = round(seconds, 4)
        self.write()

    def replace(self, names: Iterable[str], choices: Choices) -> None:
        """Removes the choices with these names, adds `choices`, and writes plan.json."""
        for name in names:
            self.choices.pop(name, None)
        self.choices |= choices
        self.write()

    def decide(self, name: str, value: Any, reason: str, replace: bool = False) -> Any:
        """Returns the value of a choice, which is added to the plan if it is new, so that a restart has the same value.

        An existing choice is kept, unless `replace` is True and the choice was not given on the command line.
        """
        present = self.choices.get(name)
        if present is None or (replace and not present.given):
            self.choices[name] = Choice(value, reason)
            self.write()
            console.print(f"{name} = {flag_text(value)}: {reason}")
        return self.choices[name].value

    def show(self) -> None:
        """Prints the fingerprint and the table of choices."""
        for line in self.description():
            console.print(line, soft_wrap=True)
        print_table("The plan", ("choice", "value", "why"), self.rows())

    def description(self) -> list[str]:
        """Returns sentences on the data and on the measurements of the rehearsal."""
        data, measured = self.data, self.measured
        images = ", ".join(f"{count} of {split}" for split, count in data.images.items())
        median, largest = (f"{size[1]} x {size[0]}" for size in (data.median_size, data.largest_size))
        rare = min(data.shares, key=lambda name: data.shares[name])
        lines = [
            f"Images: {images}; median size {median}, largest {largest} pixels; {len(data.shares)} classes.",
            f"The rarest class of train is {rare}, {100 * data.shares[rare]:.2f} % of the labelled pixels.",
        ]
        if data.cells:
            small = min(data.cells, key=lambda name: data.cells[name])
            lines.append(
                f"The smallest is {small}: in an image that has it, it covers as much as a square of "
                f"{data.cells[small]:.1f} feature cells a side."
            )
        crop = " x ".join(map(str, measured.crop))
        lines.append(
            f"A rehearsal: {measured.seconds_per_image:.3f} s a step for each image of {crop}; a training starts in "
            f"{measured.start_seconds:.0f} s."
        )
        return lines

    def rows(self) -> list[tuple[str, str, str]]:
        """Returns the name, the value and the reason of each choice, as text."""
        return [
            (name, "-" if choice.value is None else flag_text(choice.value) or "none", choice.reason)
            for name, choice in self.choices.items()
        ]
