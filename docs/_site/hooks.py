"""Additions of the site to the pages of docs/: pages of the checkout's root, and references generated from the code.

MkDocs calls the functions that begin with on_ (https://www.mkdocs.org/dev-guide/plugins/#events). Nothing here needs
Keras or TensorFlow.
"""

import importlib
import pathlib
import posixpath
import re
from collections.abc import Callable, Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import deeplab_dpc
from deeplab_dpc.cli.flag_help import flag_text, flags_by_title
from deeplab_dpc.cli.main import COMMANDS, defined_flags, flag_module

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Files of the checkout's root that are pages of the site.
ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
COMMANDS_PAGE, COMMANDS_FOLDER, PYTHON_PAGE = "commands.md", "commands", "api.md"
PYTHON_MARKER = "<!-- the site has the reference here -->"
OPTIONS = ("ModelConfig", "DataConfig", "TrainConfig", "InferenceConfig")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(?=[)#])")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> None:
    """Puts a page for each command into the navigation, below the list of all."""
    pages = [COMMANDS_PAGE, *(f"{COMMANDS_FOLDER}/{_shown(command)}.md" for command in COMMANDS)]
    for section in config.nav or []:
        for entries in section.values():
            for entry in entries if isinstance(entries, list) else []:
                if entry == {"Commands": COMMANDS_PAGE}:
                    entry["Commands"] = pages
                    return
    raise PluginError(f"mkdocs.yml must have the entry `Commands: {COMMANDS_PAGE}`.")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Adds the pages that are not in docs/."""
    for name, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for command in COMMANDS:
        files.append(File.generated(config, f"{COMMANDS_FOLDER}/{_shown(command)}.md", content=_command_page(command)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Changes the links of a page to those of the site, and replaces the markers of references."""
    place = page.file.src_uri
    source = next((name for name, target in ROOT_PAGES.items() if target == place), f"docs/{place}")
    if place == COMMANDS_PAGE:
        markdown = re.sub(r"^\* (`([\w-]+)`)", rf"* [\1]({COMMANDS_FOLDER}/\2.md)", markdown, flags=re.MULTILINE)
    if place == PYTHON_PAGE:
        markdown = _replace_marker(markdown, PYTHON_MARKER, "\n\n".join(_directives()))
    return _outside_code(markdown, lambda text: LINK.sub(_leads(source), text))


def _leads(source: str) -> Callable[[re.Match[str]], str]:
    """Returns the function that changes a link in a file to the link of its page."""

    def lead(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        page = ROOT_PAGES.get(target) or target.removeprefix("docs/")
        if page == target:
            raise PluginError(f"{source} links to {match[1]}, which is no page of the site.")
        start = posixpath.dirname(ROOT_PAGES.get(source) or source.removeprefix("docs/"))
        return posixpath.relpath(page, start or ".")

    return lead


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Returns the page with everything but code changed."""
    parts, end = [], 0
    for code in CODE.finditer(markdown):
        parts += [change(markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, change(markdown[end:])])


def _replace_marker(markdown: str, marker: str, text: str) -> str:
    """Returns the page with the text in the place of its marker."""
    if markdown.count(marker) != 1:
        raise PluginError(f"The page must have the line {marker} once.")
    return markdown.replace(marker, text)


def _shown(command: str) -> str:
    """Returns the name of a command as it is typed."""
    return command.replace("_", "-")


def _command_page(command: str) -> str:
    """Returns the page of a command: its description, and all its flags by title."""
    module = flag_module(command)
    paragraphs = [f"# {_shown(command)}", f"`deeplab-dpc {_shown(command)} --flags`", _plain(module.__doc__ or "")]
    common = set(getattr(module, "COMMON", ()))
    if common:
        paragraphs.append("`--help` shows the flags that are marked with •, `--helpfull` all of them.")
    for title, listed in flags_by_title(defined_flags(command)).items():
        paragraphs.append(f"## {title}")
        for flag in listed:
            shown = flag_text(flag)
            mark = " •" if flag.name in common else ""
            default = f" Default: `{shown.default}`." if shown.default else ""
            meaning = _plain(shown.meaning)
            paragraphs.append(f"`{shown.usage}`{mark}\n:   {meaning}{default}")
    return "\n\n".join(paragraphs) + "\n"


def _plain(text: str) -> str:
    """Returns text without special characters of Markdown, except in code."""
    return re.sub(r"`[^`]*`|[*<_\[]", lambda match: match[0] if len(match[0]) > 1 else f"\\{match[0]}", text.strip())


def _directives() -> Iterator[str]:
    """Yields the directives of mkdocstrings for all public names, with headings."""
    spaces = ("arch", "layers")
    for name in sorted(set(deeplab_dpc.__all__) - {"__version__", *spaces}, key=str.lower):
        yield f"::: deeplab_dpc.{name}"
    for space in spaces:
        yield f"## `deeplab_dpc.{space}`"
        names = importlib.import_module(f"deeplab_dpc.{space}").__all__
        for name in sorted(set(names) - set(deeplab_dpc.__all__), key=str.lower):
            yield f"::: deeplab_dpc.{space}.{name}\n    options:\n      heading_level: 3"
    yield "## Options"
    yield "What functions take as `**options`, by the names of these attributes, which are those of the flags."
    for name in OPTIONS:
        yield f"::: deeplab_dpc.config.{name}\n    options: {{heading_level: 3, members: false}}"
