"""Masks of COCO annotations (Lin et al., arXiv:1405.0312): polygons and run lengths, pixel for pixel as in pycocotools.

A mask is bool [height, width]. Runs go down the columns, and the first one counts zeros. Malformed annotations raise a
ValueError with the reason.
"""

from typing import Any

import numpy as np

from deeplab_dpc.errors import shown

_SUBPIXELS = 5  # cells per pixel side of the finer grid on which an outline is drawn
_MARGIN = 2  # largest absolute coordinate of an outline, in multiples of the image's longer side
_MAX_BITS = 35  # of a run length
_MAX_OUTLINE = 20_000_000  # cells of the finer grid, which take a gigabyte while they are drawn
_CHAR_ZERO, _CHAR_BITS = 48, 5  # of the text form: a character holds 5 bits, and a sixth bit if more characters follow


def as_numbers(values: Any) -> np.ndarray:
    """Returns a list of numbers as a float64 array [values]; text and truth values do not count as numbers.

    Raises:
      ValueError: if it is not a list of numbers.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind in "iuf" or not array.size:
            return array.astype(np.float64)
    except OverflowError as error:
        raise ValueError("it holds a number without end") from error
    raise ValueError("it is not a list of numbers")


def segmentation_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Returns the mask of an annotation's `segmentation`: polygons, or run lengths as a list or as text.

    Args:
      segmentation: a list of polygons [x0, y0, x1, y1, ...] in pixels, of which the mask is the union, or
        {"size": [height, width], "counts": [lengths] or text}.
      height, width: height and width of the image, in pixels.
    """
    if isinstance(segmentation, dict):
        size = segmentation.get("size")
        if size != [height, width]:
            raise ValueError(f"its size is {shown(size)} but its image's is [{height}, {width}]")
        counts = segmentation.get("counts")
        return runs_mask(decode_counts(counts) if isinstance(counts, str) else counts, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("it has neither polygons nor run lengths")
    mask = np.zeros((height, width), bool)
    for polygon in segmentation:
        mask |= polygon_mask(polygon, height, width)
    return mask


def decode_counts(text: str) -> np.ndarray:
    """Decodes run lengths from COCO's text form.

    Each run length is a little-endian number of 5-bit groups in two's complement, each group stored as the character
    with the code 48 plus its value. From the fourth on, the number is the difference from the run length two before.
    """
    counts: list[int] = []
    value = shift = 0
    for char in text:
        group = ord(char) - _CHAR_ZERO
        if not 0 <= group < 2 << _CHAR_BITS:
            raise ValueError(f"its run lengths have the character {char!r}")
        value |= (group & 0x1F) << shift
        shift += _CHAR_BITS
        if shift > _MAX_BITS:
            raise ValueError("its run lengths have a number without end")
        if group & 0x20:
            continue
        if group & 0x10:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("its run lengths end in the middle of a number")
    return as_numbers(counts)


def runs_mask(counts: Any, height: int, width: int) -> np.ndarray:
    """Returns the mask of run lengths, zeros first, down the columns."""
    try:
        lengths = as_numbers([] if counts is None else counts)
    except ValueError as error:
        raise ValueError("its run lengths are not a list of numbers") from error
    whole = lengths.ndim == 1 and ((lengths >= 0) & (lengths == np.floor(lengths))).all()
    if not whole or lengths.sum() != height * width:
        raise ValueError(f"its run lengths do not add up to the {height * width} pixels of its image")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths.astype(np.int64)).reshape(width, height).T


def polygon_mask(polygon: Any, height: int, width: int) -> np.ndarray:
    """Returns the inside of a polygon [x0, y0, x1, y1, ...], in pixels; (0, 0) is the upper left corner of the image.

    The outline is drawn on a grid that is five times as fine. Where it crosses the middle of a column of pixels, the
    column changes between outside and inside from the next pixel down.
    """
    points = _points(polygon, height, width)
    x, y = _outline(points)
    # A step to a neighbouring cell crosses the middle of a pixel column if the left cell is in its third finer column.
    steps = np.flatnonzero(x[1:] != x[:-1])
    column = (np.minimum(x[steps + 1], x[steps]) + 0.5) / _SUBPIXELS - 0.5
    row = (np.minimum(y[steps + 1], y[steps]) + 0.5) / _SUBPIXELS - 0.5
    crossed = (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    mask = np.zeros((width, height), bool)
    if not crossed.any():
        return mask.T
    columns = column[crossed].astype(np.int64)
    rows = np.ceil(np.clip(row[crossed], 0, height)).astype(np.int64)
    first, last = columns.min(), columns.max() + 1
    changes = np.bincount((columns - first) * height + rows, minlength=(last - first) * height + 1)[:-1]
    mask[first:last] = np.logical_xor.accumulate(changes % 2 == 1).reshape(-1, height)
    return mask.T


def _points(polygon: Any, height: int, width: int) -> np.ndarray:
    """Returns the corners on the finer grid: int64 [corners + 1, (x, y)], with the first one repeated at the end."""
    try:
        corners = as_numbers(polygon)
    except ValueError as error:
        raise ValueError("a polygon of it is not a list of numbers") from error
    if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2:
        raise ValueError("a polygon of it does not have three or more pairs of x and y")
    if not (np.abs(corners) <= _MARGIN * max(height, width)).all():
        raise ValueError(f"a polygon of it lies far outside of its image of {width} x {height} pixels")
    fine = (_SUBPIXELS * corners.reshape(-1, 2) + 0.5).astype(np.int64)
    return np.concatenate([fine, fine[:1]])


def _outline(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cells of the finer grid along the outline: x and y, int64 [cells]. Corners occur twice.

    An edge has one cell per step along its longer axis. The other coordinate is rounded starting from the end at which
    the coordinate along that axis is smaller, so that an edge shared by two polygons is the same in both.
    """
    start, end = points[:-1], points[1:]
    extent = np.abs(end - start)
    along = np.where(extent[:, 0] >= extent[:, 1], 0, 1)  # the axis of the longer extent
    edges = np.arange(len(start))
    flipped = start[edges, along] > end[edges, along]
    low, high = np.where(flipped[:, None], end, start), np.where(flipped[:, None], start, end)
    length = extent[edges, along]
    if length.sum() > _MAX_OUTLINE:
        raise ValueError(f"a polygon of it has an outline of {length.sum() // _SUBPIXELS:,} pixels")
    slope = (high - low)[edges, 1 - along] / np.maximum(length, 1)
    # All cells of all edges, concatenated: `edge` is the index of a cell's edge, `step` its distance from the low end.
    edge = np.repeat(edges, length + 1)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(length + 1) - (length + 1), length + 1)
    step = np.where(flipped[edge], length[edge] - step, step)
    cells = np.empty((len(edge), 2), np.int64)
    rows = np.arange(len(edge))
    cells[rows, along[edge]] = low[edge, along[edge]] + step
    cells[rows, 1 - along[edge]] = low[edge, 1 - along[edge]] + slope[edge] * step + 0.5
    return cells[:, 0], cells[:, 1]
