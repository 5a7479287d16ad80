"""The file report.html, a page without scripts that needs no other file, and the sections of which it consists."""

import base64
import dataclasses
import html
import importlib.resources
import pathlib
import re
import string
from collections.abc import Sequence

from deeplab_dpc.files import atomic_path

FIGURE = re.compile(r"\[?[-+]?\d|-$")  # beginning of an entry that is a number, or '-' for none
FLAG = re.compile(r"--\w+")  # a browser would break its line after the hyphens
Row = Sequence[str]
Table = tuple[str, Row, Sequence[Row]]
Picture = tuple[str, bytes]


@dataclasses.dataclass(frozen=True)
class ReportSection:
    """A section of report.html.

    Attributes:
      title: heading, also used for the names of its files.
      text: paragraphs, with an empty line between them.
      figures: (caption, PNG file as bytes) of each picture.
      tables: (title, columns, rows) of each table; the first column and one named `cell` are text, the others numbers.
    """

    title: str
    text: str = ""
    figures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


def write_page(
    workdir: pathlib.Path,
    sections: Sequence[ReportSection],
    title: str = "Search of dense prediction cells",
    name: str = "report.html",
) -> None:
    """Writes report.html, or a page of another name, and its pictures as files into report/."""
    template = (importlib.resources.files(__package__) / "page.html").read_text(encoding="utf-8")
    names = [slug(section.title) for section in sections]
    links = "".join(
        f'<a href="#{stem}">{html.escape(section.title)}</a>' for stem, section in zip(names, sections, strict=True)
    )
    body = "".join(_section(stem, section) for stem, section in zip(names, sections, strict=True))
    with atomic_path(workdir / name) as partial:
        page = string.Template(template).substitute(title=html.escape(title), links=links, sections=body)
        partial.write_text(page, encoding="utf-8")
    with atomic_path(workdir / "report") as folder:
        folder.mkdir()
        for stem, section in zip(names, sections, strict=True):
            for number, (_, picture) in enumerate(section.figures, start=1):
                (folder / f"{stem}_{number:02d}.png").write_bytes(picture)


def slug(title: str) -> str:
    """Returns a title as part of a file name: what good cells use -> what_good_cells_use."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")


def _section(name: str, section: ReportSection) -> str:
    paragraphs = "".join(f"<p>{_prose(text)}</p>" for text in section.text.split("\n\n") if text)
    figures = "".join(_figure(picture) for picture in section.figures)
    if figures:
        figures = f'<div class="figures">{figures}</div>'
    tables = "".join(_table(table) for table in section.tables)
    return f'<section id="{name}"><h2>{html.escape(section.title)}</h2>{paragraphs}{figures}{tables}</section>\n'


def _prose(text: str) -> str:
    return FLAG.sub(r'<span class="flag">\g<0></span>', html.escape(text))


def _figure(picture: Picture) -> str:
    caption, content = picture
    source = base64.b64encode(content).decode()
    text = html.escape(caption)
    return f'<figure><img src="data:image/png;base64,{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _table(table: Table) -> str:
    title, columns, rows = table
    # Columns of numbers are aligned at the right, except the first column, which names the rows.
    right = [index > 0 and all(FIGURE.match(row[index]) for row in rows) for index in range(len(columns))]
    head = _row("th", columns, right)
    body = "".join(_row("td", row, right) for row in rows)
    content = f"<caption>{html.escape(title)}</caption><thead>{head}</thead><tbody>{body}</tbody>"
    return f'<div class="table"><table>{content}</table></div>'


def _row(tag: str, entries: Row, right: Sequence[bool]) -> str:
    marks = [' class="figure"' if is_right else "" for is_right in right]
    return (
        "<tr>" + "".join(f"<{tag}{m}>{html.escape(e)}</{tag}>" for m, e in zip(marks, entries, strict=True)) + "</tr>"
    )
