"""Classes merged to the categories that Cityscapes also scores (Cordts et al., arXiv:1604.01685, Sec. 4.2).

Within a category, one class for another is right. A pixel whose label has no category is not counted, as the void of
the official evaluation; a prediction without one is wrong.
"""

from collections.abc import Sequence

import numpy as np


def category_names(categories: Sequence[str]) -> tuple[str, ...]:
    """Returns the distinct categories in the order of their first class; empty text is none."""
    return tuple(dict.fromkeys(name for name in categories if name))


def category_ids(categories: Sequence[str]) -> np.ndarray:
    """Returns the place of each class's category in `category_names`, int64 [classes]; their number for a class
    without.
    """
    names = category_names(categories)
    return np.array([names.index(name) if name else len(names) for name in categories], np.int64)
