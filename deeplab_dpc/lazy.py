"""Names of a package that are loaded when they are first used, so that importing the package costs nothing (PEP
562).
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the functions `__getattr__` and `__dir__` of a package.

    Args:
      package: `__name__` of the package.
      places: module of each name; if a module ends with the name itself, the module is the value.
    """

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        place = places[name]
        module = importlib.import_module(place)
        return module if place == f"{package}.{name}" else getattr(module, name)

    def listed() -> list[str]:
        return sorted(places)

    return find, listed
