"""The fixture `fuzz`: runs a test's function on many seeded inputs, and counts what became of them.

FUZZ_INPUTS sets the number of inputs of each kind; `make fuzz` takes thousands, the tests a few hundred.
"""

import collections
import os
from collections.abc import Callable

import numpy as np
import pytest

from deeplab_dpc.errors import UserError

INPUTS = int(os.environ.get("FUZZ_INPUTS", "200"))
TALLIES: dict[str, collections.Counter[str]] = {}


@pytest.fixture
def fuzz() -> Callable[..., collections.Counter[str]]:
    """Returns `run(kind, one, share=1.0)`.

    `one` makes an input with the generator that it is given, gives it to the code under test, and returns a word for
    what happened (for example 'same' or 'refused'). A UserError is counted as 'refused'; any other exception, and an
    assertion of `one`, fails the test and names the kind and the seed. `share` scales the number of inputs of a kind
    whose inputs take long.
    """

    def run(kind: str, one: Callable[[np.random.Generator], str], share: float = 1.0) -> collections.Counter[str]:
        tally = TALLIES.setdefault(kind, collections.Counter())
        for seed in range(max(1, round(INPUTS * share))):
            try:
                tally[one(np.random.default_rng(seed))] += 1
            except UserError as error:
                if "\n" in str(error):
                    raise AssertionError(f"{kind}, seed {seed}: the sentence is more than a line: {error}") from error
                tally["refused"] += 1
            except BaseException as error:
                error.add_note(f"{kind}, seed {seed}")
                raise
        return tally

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what became of the inputs, a line a kind and their sum."""
    for kind, tally in sorted(TALLIES.items()):
        counts = ", ".join(f"{count:,} {word}" for word, count in sorted(tally.items()))
        terminalreporter.write_line(f"{kind}: {counts}")
    if TALLIES:
        terminalreporter.write_line(f"{sum(tally.total() for tally in TALLIES.values()):,} inputs")
