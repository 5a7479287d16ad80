"""The choices of the plan of `fit`: a value, its reason, and whether the command line gave it."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Choice:
    """A choice of the plan.

    Attributes:
      value: value of the flag of that name.
      reason: reason for the value.
      given: bool, whether the command line gave the value.
    """

    value: Any
    reason: str
    given: bool = False


Choices = dict[str, Choice]
Given = Mapping[str, Any]


class Chooser:
    """A collection of choices; values of the command line take precedence over planned ones."""

    def __init__(self, given: Given):
        self.given = given
        self.choices: Choices = {}

    def choose(self, name: str, value: Any, reason: str) -> Any:
        if name in self.given:
            self.choices[name] = Choice(self.given[name], "given on the command line", given=True)
        else:
            self.choices[name] = Choice(value, reason)
        return self.choices[name].value
