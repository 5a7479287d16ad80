"""A section of the report: text, pictures and tables under a title."""

import dataclasses
from collections.abc import Sequence

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
