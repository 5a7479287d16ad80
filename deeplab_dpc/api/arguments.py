"""Error messages of Python functions: messages from the packages below name flags, which are replaced by arguments."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping

from deeplab_dpc.errors import UserError, shown

# Command lines, which stay as they are.
_COMMAND = re.compile(r"(\((?:deeplab-dpc|pip) [^)]*\)|\bdeeplab-dpc [a-z-]+(?: --\S*\w)*)")
# No name of a flag begins with `no`, so that this prefix stands for False.
_FLAG = re.compile(r"--(no)?([a-z][a-z0-9_]*)(?:=([^\s;()]*[^\s;:().,]))?")
_FIELD = re.compile(r"\b\w+Config\.(\w+)")  # in messages about a value of a wrong type
_WORDS = (
    (re.compile(r"\bflag(s?)\b"), r"argument\1"),
    (re.compile(r"\b([Tt]h(?:e same|is)) command\b"), r"\1 call"),
)
_FIELDS = {"dense_prediction_cell_json": "dense_prediction_cell", "genotype_json": "genotype"}  # renamed options
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")
_PLACE = re.compile(r"[A-Z][A-Z_]*")  # stands for a value, as in HEIGHT,WIDTH


@contextlib.contextmanager
def naming_arguments(**renamed: str) -> Iterator[None]:
    """Makes UserErrors raised inside the context name arguments instead of flags; can be used as a decorator, too.

    Args:
      renamed: name of the argument for a flag whose name differs.
    """
    try:
        yield
    except UserError as error:
        error.args = (in_python(str(error), renamed),)
        raise


def in_python(message: str, renamed: Mapping[str, str] | None = None) -> str:
    """Returns a message about flags as one about arguments: --eval_scales=1,2 becomes `eval_scales=(1, 2)`."""
    parts, names = _COMMAND.split(message), {**_FIELDS, **(renamed or {})}
    return "".join(part if place % 2 else _translated(part, names) for place, part in enumerate(parts))


def _translated(text: str, renamed: Mapping[str, str]) -> str:
    def argument(match: re.Match[str]) -> str:
        negated, name, value = match.groups()
        name = renamed.get(name, name)
        if negated:
            return f"`{name}=False`"
        return f"`{name}`" if value is None else f"`{name}={_value(value)}`"

    text = _FLAG.sub(argument, _FIELD.sub(r"--\1", text))
    for pattern, replacement in _WORDS:
        text = pattern.sub(replacement, text)
    return text


def _value(text: str) -> str:
    text = text.strip("'")  # those for a shell
    parts = text.split(",")
    if len(parts) > 1 and all(_NUMBER.fullmatch(part) or _PLACE.fullmatch(part) for part in parts):
        return f"({', '.join(parts)})"
    return text if _NUMBER.fullmatch(text) else repr(text)


def require_path(name: str, value: object) -> None:
    """Raises a UserError, which names the argument, if a value is not a path."""
    if not isinstance(value, (str, os.PathLike)):
        raise UserError(f"`{name}` must be a path, got {shown(value)}.")
