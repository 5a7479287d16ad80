"""Raw files below their top folder."""

from deeplab_dpc.datasets.raw_files import RawFiles


class RawTree:
    """Raw files below their top folder.

    The top folder is the only folder of an archive if it is called images, labels or like the archive, since then the
    folder itself was packed and not its contents.
    """

    def __init__(self, raw: RawFiles):
        self._raw = raw
        self._top = ""
        if raw.path.is_file():
            (first, *others) = {name.partition("/")[0] for name in raw.names()} or {""}
            own_name = raw.path.name.partition(".")[0]
            if not others and first in ("images", "labels", own_name) and not raw.exists(first):
                self._top = f"{first}/"

    def folders(self) -> list[str]:
        """Returns the folders directly in the top folder, sorted, without empty ones."""
        inside = (name.removeprefix(self._top) for name in self._raw.names())
        return sorted({name.partition("/")[0] for name in inside if "/" in name})

    def files(self, folder: str, suffixes: tuple[str, ...]) -> list[str]:
        """Returns the files anywhere below a folder, as paths relative to it."""
        prefix = self.path(folder, "")
        return [name.removeprefix(prefix) for name in self._raw.below(prefix, suffixes)]

    def path(self, folder: str, name: str) -> str:
        """Returns the path of a file in the raw files, from its path relative to a folder."""
        return self._top + (f"{folder}/" if folder else "") + name

    def title(self, folder: str) -> str:
        """Returns the name of a folder in messages."""
        path = self.path(folder, "").rstrip("/")
        return self._raw.title(path) if path else str(self._raw.path)
