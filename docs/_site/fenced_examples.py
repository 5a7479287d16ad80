"""Shows the `Example:` sections of docstrings as code, since Griffe treats them as text."""

import re
import textwrap
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)Example:\n((?:\1 {2,}.*\n|\n)+)", re.MULTILINE)


class FencedExamples(griffe.Extension):
    """Puts fences around the examples before docstrings are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Changes the docstring of each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(_fenced, f"{obj.docstring.value}\n").rstrip()


def _fenced(match: re.Match[str]) -> str:
    code = f"```python\n{textwrap.dedent(match[2]).strip()}\n```"
    return f"{match[1]}Example:\n{textwrap.indent(code, match[1] + '    ')}\n\n"
