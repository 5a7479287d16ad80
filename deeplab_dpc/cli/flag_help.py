"""The text of --help and --helpfull, and of the site's reference: the flags of a command by title, with their defaults.

All of it comes from the definitions: the flags of absl, their titles from `concerning`, and the names of the common
flags in COMMON of the command's module in deeplab_dpc/cli/flags.
"""

import contextlib
import dataclasses
import textwrap
import types
from collections.abc import Iterator
from typing import Any

from absl import flags

WIDTH = 100  # columns
LONGEST_LIST = 60  # characters; longer lists of choices are shown after the description, not beside the name
TITLES = (
    "Data",
    "Network",
    "Training",
    "Optimizer",
    "Loss",
    "Search",
    "Proxy",
    "Contest",
    "Fidelity",
    "Auto-DeepLab",
    "Service",
    "Prediction",
    "Evaluation",
    "Export",
    "Images",
    "Web page",
    "Devices",
    "Output",
    "Program",
)
COMMAND = "Command"  # title of flags without one, which comes first


@contextlib.contextmanager
def concerning(values: flags.FlagValues, title: str) -> Iterator[None]:
    """Puts the flags that are defined in a block under one of TITLES in the help; flags with a title keep it."""
    assert title in TITLES, title
    before = set(values)
    yield
    titled = _titled(values)
    for name in values:
        if name not in before and name not in titled:
            values.register_flag_by_module(title, values[name])  # absl's groups by module, used for titles


def help_text(module: types.ModuleType, values: flags.FlagValues) -> str:
    """Returns the help of a command, as --help or --helpfull prints it.

    Args:
      module: module of the command in deeplab_dpc/cli/flags, with the description as its docstring, and with COMMON if
        only some flags are common.
      values: flags of the command.
    """
    sections = flags_by_title(values)
    names = [flag.name for listed in sections.values() for flag in listed]
    common = names if values.helpfull else [*getattr(module, "COMMON", names), "flagfile", "backend", "version"]
    paragraphs = [textwrap.fill(part, WIDTH) for part in (module.__doc__ or "").strip().split("\n\n")]
    for title, listed in sections.items():
        lines = [_line(flag) for flag in listed if flag.name in common]
        if lines:
            paragraphs.append("\n".join([f"{title}:", *lines]))
    more = sum(name not in common for name in names)
    hidden = f"--helpfull shows {more} more flags. " if more else ""
    paragraphs.append(f"{hidden}--flagfile=FILE reads flags from a file or a recipe.")
    return "\n\n".join(paragraphs)


def flags_by_title(values: flags.FlagValues) -> dict[str, list[flags.Flag[Any]]]:
    """Returns all flags of a command except --help and --helpfull, by title, in the order of the help."""
    titled = _titled(values)
    found: dict[str, list[flags.Flag[Any]]] = {title: [] for title in (COMMAND, *TITLES)}
    for name in values:
        if name == values[name].name and name not in ("help", "helpfull"):
            found[titled.get(name, COMMAND)].append(values[name])
    return {title: listed for title, listed in found.items() if listed}


def _titled(values: flags.FlagValues) -> dict[str, str]:
    """Returns the title of each flag that has one."""
    groups = values.flags_by_module_dict()
    return {flag.name: title for title in TITLES for flag in groups.get(title, ())}


@dataclasses.dataclass(frozen=True)
class FlagText:
    """The help of a flag.

    Attributes:
      usage: usage of the flag, such as `--workdir=VALUE` or `--[no]check`.
      default: default as text; empty if there is none, or if the flag is off by default.
      meaning: description of the flag.
    """

    usage: str
    default: str
    meaning: str


def flag_text(flag: flags.Flag[Any]) -> FlagText:
    """Returns the help of a flag."""
    choices = "|".join(getattr(flag.parser, "enum_values", None) or ())
    meaning = str(flag.help or "").split(";\n")[0].removeprefix(f"<{choices}>: ")  # without absl's additions
    meaning = meaning[:1].upper() + meaning[1:]
    default = _default(flag)
    if flag.boolean and default == "false":
        return FlagText(f"--{flag.name}", "", meaning)
    if flag.boolean:
        return FlagText(f"--[no]{flag.name}", default, meaning)
    if choices and len(choices) <= LONGEST_LIST:
        return FlagText(f"--{flag.name}={choices}", default, meaning)
    if choices:
        meaning = f"{meaning} One of {choices.replace('|', ', ')}."
    return FlagText(f"--{flag.name}={_kind(flag)}", default, meaning)


def _line(flag: flags.Flag[Any]) -> str:
    shown = flag_text(flag)
    text = f"{shown.usage}{f' (default: {shown.default})' if shown.default else ''}: {shown.meaning}"
    return textwrap.fill(
        text, WIDTH, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False, break_long_words=False
    )


def _default(flag: flags.Flag[Any]) -> str:
    if isinstance(flag.default, list):
        return ",".join(map(str, flag.default))
    return str(flag.default_as_str or "").strip("'")


def _kind(flag: flags.Flag[Any]) -> str:
    """Returns the placeholder of a flag's value: for a number, a list, or any text."""
    if isinstance(flag.parser, flags.IntegerParser):
        return "N"
    if isinstance(flag.parser, flags.FloatParser):
        return "X"
    is_list = isinstance(flag, flags.MultiFlag) or isinstance(flag.parser, flags.ListParser)
    return "A,B" if is_list else "VALUE"
