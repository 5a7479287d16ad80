"""The valid values of flags: one error message for each kind of flag, instead of Python's."""

import re
from typing import Any

from absl import flags

WHOLE_NUMBER, NUMBER, SWITCH = "a whole number", "a number", "true or false"
WHOLE_NUMBERS, NUMBERS = "whole numbers (1,2)", "numbers (0.5,1)"
SIZE = "HEIGHT,WIDTH in pixels"
_OF_FLAG = re.compile(r"^flag --(\w+)=|^Missing value for flag -{0,2}(\w+)$")
_SWITCH_WITH_VALUE = re.compile(r"^--no(\w+)(?:=.*)? does not take an argument$", re.DOTALL)


def must_be(name: str, what: str, given: str) -> str:
    """Returns the error message for an invalid value."""
    return f"--{name} must be {what}, got {given or 'nothing'}."


def wrong_value(error: ValueError | flags.Error, values: flags.FlagValues) -> str:
    """Returns the error message, one sentence, for a value that a flag does not accept.

    Args:
      error: error that absl raised when it read the flags.
      values: flags of the command.
    """
    sentence = str(error)
    if found := _SWITCH_WITH_VALUE.match(sentence):
        return f"--no{found[1]} takes no value; give --{found[1]}=true or --{found[1]}=false."
    found = _OF_FLAG.match(sentence)
    name = str(found[1] or found[2]) if found else ""
    if not found or name not in values:
        return sentence
    wanted = _wanted(values[name])
    if found[2]:
        return f"--{name} needs a value{f', {wanted}' if wanted else ''}: --{name}=VALUE."
    reason = f": {error.__context__}"
    if wanted is None or not sentence.endswith(reason):
        return sentence
    return must_be(name, wanted, sentence[found.end() :].removesuffix(reason))


def _wanted(flag: flags.Flag[Any]) -> str | None:
    """Returns as text the values that a flag accepts; None for any text."""
    parser = flag.parser
    if isinstance(parser, flags.BooleanParser):
        return SWITCH
    if isinstance(parser, flags.IntegerParser):
        return WHOLE_NUMBER
    if isinstance(parser, flags.FloatParser):
        return NUMBER
    return f"one of {', '.join(parser.enum_values)}" if isinstance(parser, flags.EnumParser) else None
