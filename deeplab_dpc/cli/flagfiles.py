"""Flags from files: --flagfile=FILE, where FILE may also be the name of a recipe that ships with the package."""

import dataclasses
import importlib.resources
import os
import pathlib
from collections.abc import Iterator, Sequence

from deeplab_dpc.errors import UserError
from deeplab_dpc.small_files import read_text

FLAGS = ("--flagfile", "-flagfile")
COMMENTS = ("#", "//")
RECIPES = "recipes"  # folder in the package, and in the paths of the documentation


@dataclasses.dataclass(frozen=True)
class Source:
    """Consecutive arguments: on the command line, or in one file, without a --flagfile between them.

    Attributes:
      file: flagfile as the user wrote it; None for the command line.
      argv: list of the arguments.
    """

    file: str | None
    argv: list[str]


def sources(argv: Sequence[str]) -> list[Source]:
    """Returns the arguments in their order, with each --flagfile replaced by the contents of the file.

    Raises:
      UserError: for a file that is absent, cannot be read, includes itself, or contains a line that is not a flag.
    """
    return list(_expanded(None, list(argv), ()))


def flattened(parts: Sequence[Source]) -> list[str]:
    """Returns all arguments, without the files that they come from."""
    return [argument for part in parts for argument in part.argv]


def recipe_names() -> list[str]:
    """Returns the names of the flagfiles that ship with the package, sorted."""
    recipes = importlib.resources.files("deeplab_dpc") / RECIPES
    return sorted(item.name for item in recipes.iterdir() if item.name.endswith(".flags"))


def _expanded(file: str | None, argv: list[str], including: tuple[str, ...]) -> Iterator[Source]:
    """Yields the sources of the arguments of a file; `including` are the files that include it."""
    part: list[str] = []
    rest = iter(argv)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name not in FLAGS:
            part.append(argument)
            continue
        nested = value if equals else next(rest, "")
        if not nested.strip():
            raise UserError("--flagfile needs the name of a file: --flagfile=FILE.")
        yield Source(file, part)
        part = []
        yield from _file(nested.strip(), including)
    yield Source(file, part)


def _file(name: str, including: tuple[str, ...]) -> Iterator[Source]:
    text, identity = _read(name)
    if identity in including:
        raise UserError(f"--flagfile={name} includes itself, directly or through another file.")
    yield from _expanded(name, list(_arguments(name, text)), (*including, identity))


def _arguments(file: str, text: str) -> Iterator[str]:
    """Yields the arguments of a flagfile: one per line, without comments and empty lines."""
    for number, line in enumerate(text.splitlines(), start=1):
        argument = line.strip()
        if not argument or argument.startswith(COMMENTS):
            continue
        name, *value = argument.split(maxsplit=1)
        if name in FLAGS:  # absl accepts `--flagfile FILE` in a line, but no other flag without an equals sign
            yield from (name, *value)
        elif not name.startswith("-") or (value and "=" not in name):
            raise UserError(f"--flagfile={file}, line {number}: {argument!r} is not a flag; write --name=value.")
        else:
            yield argument


def _read(name: str) -> tuple[str, str]:
    """Returns the text of a flagfile and its identity: the file at that path, or else the recipe."""
    path = pathlib.Path(os.path.expanduser(name))
    try:
        # Opened without checking first that it exists, since it may be a pipe.
        return read_text(path), str(path.resolve())
    except FileNotFoundError:
        return _recipe(name, path), f"{RECIPES}/{path.name}"
    except UnicodeDecodeError as error:
        raise UserError(f"--flagfile={name} is not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"--flagfile={name} cannot be read: {error.strerror}.") from error


def _recipe(name: str, path: pathlib.Path) -> str:
    """Returns the text of a recipe, named as the documentation does (recipes/NAME.flags) or by NAME.flags alone."""
    names = recipe_names()
    if path.name not in names or str(path.parent) not in (".", RECIPES):
        raise UserError(
            f"--flagfile={name}: there is no such file, and no recipe of this name ships with the package; "
            f"the recipes are {', '.join(f'{RECIPES}/{each}' for each in names)}."
        )
    recipe = importlib.resources.files("deeplab_dpc") / RECIPES / path.name
    return recipe.read_text(encoding="utf-8")
