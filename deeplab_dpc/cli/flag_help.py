"""--help and --helpfull: the flags of a command by what they concern, with their values and defaults.

All that is shown comes from the definitions: absl's flag of that name, the title that `concerning` gave it, and the
names of common flags, COMMON, of the command's module in deeplab_dpc/cli/flags.
"""

import contextlib
import textwrap
import types
from collections.abc import Iterator

from absl import flags

WIDTH = 100  # columns
LONGEST_LIST = 60  # characters of an enumeration that stands beside the name; a longer one ends the text
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
COMMAND = "Command"  # the title of flags that have none, which comes first


@contextlib.contextmanager
def concerning(values: flags.FlagValues, title: str) -> Iterator[None]:
    """Puts the flags that are defined within it under one of TITLES in the help; what has a title already keeps it."""
    assert title in TITLES, title
    before = set(values)
    yield
    titled = _titled(values)
    for name in values:
        if name not in before and name not in titled:
            values.register_flag_by_module(title, values[name])  # absl's groups, which its modules are otherwise


def help_text(module: types.ModuleType, values: flags.FlagValues) -> str:
    """Returns what --help prints, or with --helpfull, of a command.

    Args:
      module: the command's, of deeplab_dpc/cli/flags: its docstring, and COMMON if only some flags are common.
      values: its flags.
    """
    names = [name for name in values if name == values[name].name and name not in ("help", "helpfull")]
    common = names if values.helpfull else [*getattr(module, "COMMON", names), "flagfile", "backend", "version"]
    shown = [name for name in names if name in common]
    titled = _titled(values)
    paragraphs = [textwrap.fill(part, WIDTH) for part in (module.__doc__ or "").strip().split("\n\n")]
    for title in (COMMAND, *TITLES):
        lines = [_line(values[name]) for name in shown if titled.get(name, COMMAND) == title]
        if lines:
            paragraphs.append("\n".join([f"{title}:", *lines]))
    more = len(names) - len(shown)
    hidden = f"--helpfull shows {more} more flags. " if more else ""
    paragraphs.append(f"{hidden}--flagfile=FILE reads flags from a file or a recipe.")
    return "\n\n".join(paragraphs)


def _titled(values: flags.FlagValues) -> dict[str, str]:
    """Returns the title of each flag that has one."""
    groups = values.flags_by_module_dict()
    return {flag.name: title for title in TITLES for flag in groups.get(title, ())}


def _line(flag: flags.Flag) -> str:
    choices = "|".join(getattr(flag.parser, "enum_values", None) or ())
    meaning = str(flag.help or "").split(";\n")[0].removeprefix(f"<{choices}>: ")  # without what absl adds
    default = _default(flag)
    if flag.boolean and default == "false":
        shown, default = f"--{flag.name}", ""
    elif flag.boolean:
        shown = f"--[no]{flag.name}"
    elif choices and len(choices) <= LONGEST_LIST:
        shown = f"--{flag.name}={choices}"
    else:
        shown = f"--{flag.name}={_kind(flag)}"
        if choices:
            meaning = f"{meaning} One of {choices.replace('|', ', ')}."
    text = f"{shown}{f' (default: {default})' if default else ''}: {meaning}"
    return textwrap.fill(
        text, WIDTH, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False, break_long_words=False
    )


def _default(flag: flags.Flag) -> str:
    if isinstance(flag.default, list):
        return ",".join(map(str, flag.default))
    return str(flag.default_as_str or "").strip("'")


def _kind(flag: flags.Flag) -> str:
    """Returns what stands for a flag's value: a number, a list, or anything."""
    if isinstance(flag.parser, flags.IntegerParser):
        return "N"
    if isinstance(flag.parser, flags.FloatParser):
        return "X"
    is_list = isinstance(flag, flags.MultiFlag) or isinstance(flag.parser, flags.ListParser)
    return "A,B" if is_list else "VALUE"
