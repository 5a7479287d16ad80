"""The entry point of every command: parses the flags, runs the command, and reports a user's mistake in one sentence,
with exit status 2.
"""

import errno
import importlib
import logging
import os
import re
import signal
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from deeplab_dpc.cli.backend import choose_backend, define_backend_flag, keep_tensor_memory
from deeplab_dpc.cli.flag_help import concerning, help_text
from deeplab_dpc.cli.flag_mistakes import near_command, unknown_flag, wrong_value
from deeplab_dpc.cli.flagfiles import Source, flattened, sources
from deeplab_dpc.cli.flags.base import define_flags, read_flags
from deeplab_dpc.cli.output import (
    drop_unwritable_output,
    escape_unwritable_text,
    flush_output,
    quiet_imports,
    reader_has_gone,
)
from deeplab_dpc.cli.versions import version_text
from deeplab_dpc.console import printable
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.files import is_far
from deeplab_dpc.installation import PAGES, pip_line

COMMANDS = {
    "build_ade20k": "convert ADE20K (SceneParsing) from its folder or zip",
    "build_cityscapes": "convert Cityscapes, fine and coarse, from its folders or zips",
    "build_coco": "convert COCO, with PASCAL VOC's classes or its own",
    "build_folder": "convert your images with label PNGs or annotations to records",
    "build_person_part": "convert PASCAL-Person-Part, from Pascal-Part's annotations or masks",
    "build_shapes": "write the embedded data set of drawn scenes",
    "build_tfds": "convert a data set of TensorFlow Datasets, by its name",
    "build_voc2012": "convert PASCAL VOC 2012 segmentation, with SBD's labels for train_aug",
    "check_data": "check a prepared data set: labels, classes, sizes, duplicates; draw a contact sheet",
    "fit": "from a folder of images to an exported network, in about a given time",
    "search": "search dense prediction cells, or an Auto-DeepLab",
    "describe": "print a network by part: shapes, parameters, multiply-adds",
    "train": "train a network",
    "eval": "evaluate a network",
    "export": "export to SavedModel, TFLite, ONNX or a TensorFlow 1 checkpoint",
    "predict": "predict images, a data set or a video, or serve a web page for it",
}
USER_ERROR = 2
FLAGS_WITH_URLS = ("storage",)
_FAR_PATH = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9+.-]+://|(?:gs|s3|hdfs|https?|ftp|file):/)")
_OF_PATHS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_CURES = dict.fromkeys(_OF_PATHS, "give another path, or correct this one and its permissions")
SIGNALLED = 128  # plus the number of the signal


def run(command: str, argv: Sequence[str] | None = None) -> None:
    """Runs a command and exits the process with its status.

    Args:
      command: a key of COMMANDS.
      argv: flags of the command, without the program's name; those of the process if None.
    """
    sys.exit(execute(command, list(sys.argv[1:] if argv is None else argv)))


def execute(command: str, argv: list[str]) -> int:
    """Runs a command and returns its exit status."""
    return _status(command, lambda: _run(command, argv))


def _run(command: str, argv: list[str]) -> None:
    # Its other messages (retracing, deprecations) are for developers.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    parts = sources(argv)
    choose_backend(flattened(parts))
    module = flag_module(command)
    values = _parsed(module, command, parts)
    if values.version:
        print(version_text())
    elif values.help or values.helpfull:
        print(help_text(module, values))
    else:
        keep_tensor_memory()
        with quiet_imports():
            work = importlib.import_module(f"deeplab_dpc.cli.{command}")
        work.main(read_flags(module.Flags, values))


def _status(command: str, action: Callable[[], None]) -> int:
    """Returns the exit status of a command's action; a user's mistake is printed as one sentence."""
    escape_unwritable_text()
    try:
        action()
        flush_output()
    except flags.Error as error:
        return _fail(command, f"{error} See --help.")
    except UserError as error:
        return _fail(command, printable(str(error)))
    except MemoryError:
        return _fail(command, "The memory is not enough; give smaller images or fewer at a time, or free some.")
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        line = f"{pip_line('cpu')}, or with [gpu] instead for NVIDIA GPUs"
        return _fail(command, f"TensorFlow is not installed, and this command needs it; {line}.")
    except OSError as error:
        if error.errno is None:
            raise
        unread = isinstance(error, BrokenPipeError) and reader_has_gone()
        drop_unwritable_output()
        if unread:
            return SIGNALLED + signal.SIGPIPE  # as in other programs whose reader closes the pipe (`| head -1`)
        place = f"{printable(str(error.filename))}: " if error.filename else ""
        cure = _CURES.get(error.errno, "nothing incomplete was left in its place")
        return _fail(command, f"{place}{error.strerror or os.strerror(error.errno)}; {cure}.")
    except Stopped as stopped:
        print(f"\n{command}: {stopped}", file=sys.stderr)
        return SIGNALLED + stopped.signal
    except KeyboardInterrupt:
        print(f"\n{command}: stopped; {_after_stop(command)}.", file=sys.stderr)
        return SIGNALLED + signal.SIGINT
    return 0


def _after_stop(command: str) -> str:
    """Returns what the same command does after Ctrl-C, as text; a build keeps nothing of an incomplete data set."""
    if command.startswith("build_"):
        return "nothing was kept, and the same command starts again"
    return "the same command continues"


def flag_module(command: str) -> types.ModuleType:
    """Returns the module of a command's flags, with the description for the help as docstring and the class `Flags`."""
    return importlib.import_module(f"deeplab_dpc.cli.flags.{command}")


def defined_flags(command: str) -> flags.FlagValues:
    """Returns the flags of a command with their defaults, in new flag values of absl."""
    values = flags.FlagValues()
    _define_program_flags(values)
    define_flags(flag_module(command).Flags, values)
    return values


def own_flags(command: str) -> set[str]:
    """Returns the names of a command's flags without those that every command has."""
    values = flags.FlagValues()
    _define_program_flags(values)
    return set(defined_flags(command)) - set(values)


def parse(command: str, argv: Sequence[str]) -> Any:
    """Returns the flags of a command with the values of these arguments, an instance of its class `Flags`.

    Later values replace earlier ones, so that a flag after a --flagfile replaces the file's. This also holds for a
    repeated flag, whose values are combined only within one file, or on the command line without a file between them.

    Raises:
      UserError: for an unknown flag or value, an argument that is not a flag, a path on another machine, or an invalid
        flagfile.
    """
    module = flag_module(command)
    return read_flags(module.Flags, _parsed(module, command, sources(argv)))


def _parsed(module: types.ModuleType, command: str, parts: Sequence[Source]) -> flags.FlagValues:
    values = flags.FlagValues()
    _define_program_flags(values)
    define_flags(module.Flags, values)
    rest: list[str] = []
    for part in parts:
        for name in values:
            values[name].present = 0  # by this, absl decides whether a repeatable flag adds to its value or replaces it
        try:
            rest += values([command, *part.argv])[1:]
        except (flags.Error, ValueError) as error:
            if isinstance(error, flags.UnrecognizedFlagError):
                sentence = unknown_flag(error.flagname, values, _commands_with, getattr(module, "COMMON", ()))
            else:
                sentence = wrong_value(error, values)
            place = f"--flagfile={part.file}: " if part.file else ""
            raise UserError(f"{place}{sentence} See --help.") from error
    if rest:
        raise UserError(f"Unexpected argument {rest[0]!r}: flags are written --name=value.")
    _refuse_far_paths(command, values)
    return values


def _commands_with(flag: str) -> list[str]:
    """Returns the commands with a flag of that name, as they are typed."""
    return [_shown(command) for command in COMMANDS if flag in defined_flags(command)]


def _define_program_flags(values: flags.FlagValues) -> None:
    """Defines the flags that every command has."""
    with concerning(values, "Program"):
        flags.DEFINE_bool("help", False, "Show the common flags.", short_name="h", flag_values=values)
        flags.DEFINE_bool("helpfull", False, "Show all flags.", flag_values=values)
        flags.DEFINE_bool("version", False, "Show the versions of package, Keras and backends.", flag_values=values)
        define_backend_flag(values)


def _refuse_far_paths(command: str, values: flags.FlagValues) -> None:
    """Raises a UserError for a flag that names a place on another machine, which would be taken for a local path.

    Only data sets are read from there, by the commands that do not write them.
    """
    for name in values:
        given = values[name].value
        if name == "data_dir" and isinstance(given, str) and is_far(given) and not command.startswith("build_"):
            continue
        for text in given if isinstance(given, list) else [given]:
            far = _FAR_PATH.search(text) if isinstance(text, str) and name not in FLAGS_WITH_URLS else None
            if far:
                raise UserError(
                    f"--{name} begins with {far[1]}: of the storage of other machines only data sets are read "
                    "(--data_dir), and nothing is written; copy what lies there to this machine, or mount it, and give "
                    "that folder."
                )


def _fail(command: str, sentence: str) -> int:
    print(f"{command}: {sentence}", file=sys.stderr)
    return USER_ERROR


def _list_commands() -> None:
    print("deeplab-dpc COMMAND --flags\n")
    for command, purpose in COMMANDS.items():
        print(f"  {_shown(command):<20}{purpose}")
    print("\ndeeplab-dpc COMMAND --help shows the flags of a command, deeplab-dpc --version what is installed.")
    print(f"The pages docs/... are in {PAGES}, and the notebooks in {PAGES.with_name('notebooks')}.")


def _shown(command: str) -> str:
    """Returns the name of a command as it is typed."""
    return command.replace("_", "-")


def _unknown_command(name: str) -> int:
    near = near_command(name, COMMANDS)
    if near is not None:
        return _fail("deeplab-dpc", f"{name!r} is not a command; did you mean {_shown(near)}?")
    known = ", ".join(map(_shown, COMMANDS))
    return _fail("deeplab-dpc", f"{name!r} is not a command; the commands are {known}.")


def main() -> None:
    """Runs the installed program: deeplab-dpc COMMAND --flags."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help", "--helpfull", "help"):
        status = _status("deeplab-dpc", _list_commands)
        sys.exit(status or (0 if len(sys.argv) > 1 else USER_ERROR))
    if sys.argv[1] == "--version":
        sys.exit(_status("deeplab-dpc", lambda: print(version_text())))
    command = sys.argv[1].replace("-", "_")
    if command not in COMMANDS:
        sys.exit(_unknown_command(sys.argv[1]))
    run(command, sys.argv[2:])


if __name__ == "__main__":
    main()
