"""The model sets that exist, as data, and where their files lie. Read without torch; shown by the dock."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from rs_textseg_plugin.contract.folders import data_home, package_file
from rs_textseg_plugin.contract.recipe import ParameterValue, Values

_MOST_MANIFEST_BYTES = 1_000_000
_SHA256 = re.compile("[0-9a-f]{64}")
MANIFEST = "models.json"  # beside the checkpoints of a set; optional for a folder of published files


@dataclass(frozen=True)
class ModelFile:
    """One checkpoint, or a file that lies beside one.

    Attributes:
        role: ``sam``, ``clip``, ...
        name: path inside the set's folder, with slashes.
        url: where it is fetched from, in a zip file or as it is; empty for imported files.
        sha256: hexadecimal digest, all 64 digits; empty: no public source states it.
        size_bytes: exact size of the file; 0: no public source states it.
        licence: of the weights.
        licence_url: where its text is; empty: it is one that everybody knows.
        needs_acceptance: whether the licence restricts who may use the weights for what, so that the user accepts it.
        source: page that describes them.
        stated_by: public pages, independent of each other, that state address, digest and size.
        architecture: open_clip's name, where the weights alone do not tell.
        beside: files in the same folder that are read with it: configuration, tokenizer and the like.
    """

    role: str
    name: str
    url: str = ""
    sha256: str = ""
    size_bytes: int = 0
    licence: str = ""
    licence_url: str = ""
    needs_acceptance: bool = False
    source: str = ""
    stated_by: tuple[str, ...] = ()
    architecture: str = ""
    beside: tuple[ModelFile, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelFile:
        """Read an entry; digests are written in groups of eight, which are joined here.

        Files beside it have a name, a size and a digest of their own. All else is that of the file.

        Raises:
            ValueError: the name is no path inside a folder, or the digest is none.
            TypeError, KeyError: a field is missing or unknown.
        """
        given = {**data, "sha256": _digest_in(data.get("sha256", ""))}
        given["stated_by"] = tuple(data.get("stated_by", ()))
        beside = given.pop("beside", ())
        file = cls(**given)
        _require_inside(file.name)
        return replace(file, beside=tuple(file._neighbour(entry) for entry in beside))

    def _neighbour(self, data: Mapping[str, Any]) -> ModelFile:
        folders = {"name": _neighbour_of(self.name, data["name"])}
        if self.url:
            folders["url"] = _neighbour_of(self.url, data["name"])
        return replace(
            ModelFile.from_json({**data, "role": self.role, **folders}),
            licence=self.licence,
            licence_url=self.licence_url,
            needs_acceptance=self.needs_acceptance,
            source=self.source,
            stated_by=self.stated_by,
        )

    @property
    def with_beside(self) -> tuple[ModelFile, ...]:
        """All files that have to be there, what lies beside it first: the checkpoint shows that all is complete."""
        return (*self.beside, self)


@dataclass(frozen=True)
class ModelSet:
    """Checkpoints that belong together, with the parameters that fit them.

    Attributes:
        id: name on the command line.
        title: name in the dock.
        files: the checkpoints.
        pipelines: names of the methods that they serve.
        paper: where the combination comes from.
        parameters: recipe values that fit this set; the user's own come first.
        is_demo: a small set for trying the product; results say so.
        ground_resolution_m: smallest and largest pixels that the models were made for; None: not known.
        words: for what these models know, which competes with what was asked for; empty: not known.
    """

    id: str
    title: str
    files: tuple[ModelFile, ...]
    pipelines: tuple[str, ...]
    paper: str = ""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    is_demo: bool = False
    ground_resolution_m: tuple[float, float] | None = None
    words: tuple[str, ...] = ()

    def note_on_resolution(self, metres: float) -> str:
        """Return a sentence on pixels that these models were not made for; empty where they suit."""
        if self.ground_resolution_m is None:
            return ""
        smallest, largest = self.ground_resolution_m
        if smallest <= metres <= largest:
            return ""
        return (
            f"The model set {self.id!r} was made for pixels of {smallest:g} to {largest:g} m, and these have "
            f"{metres:.3g} m: set a resolution in that range where the image has the detail, or take other models."
        )

    @property
    def all_files(self) -> tuple[ModelFile, ...]:
        """Every file that has to be there, in the order in which they are fetched."""
        return tuple(file for checkpoint in self.files for file in checkpoint.with_beside)

    @property
    def size_bytes(self) -> int:
        """Sum of the files' sizes, as far as they are known."""
        return sum(file.size_bytes for file in self.all_files)

    @property
    def is_size_known(self) -> bool:
        """Whether the sizes of all files are known."""
        return all(file.size_bytes for file in self.all_files)

    @property
    def unverified(self) -> tuple[ModelFile, ...]:
        """The files that are to be fetched and whose digest no public source states."""
        return tuple(file for file in self.all_files if file.url and not file.sha256)


def _require_inside(name: object) -> None:
    """Refuse a path that leaves its folder, as either kind of system reads it."""
    kinds = (PurePosixPath(name), PureWindowsPath(name)) if isinstance(name, str) and "\0" not in name else ()
    if not name or not kinds or any(path.anchor or ".." in path.parts for path in kinds):
        raise ValueError(f"the file name {str(name)[:80]!r} does not lie inside the set's folder")


def _digest_in(text: object) -> str:
    """Return the digest that a text holds, without the spaces between its groups; empty for an empty text.

    Raises:
        ValueError: it is no whole SHA-256.
    """
    digest = str(text).replace(" ", "").lower()
    if digest and not _SHA256.fullmatch(digest):
        raise ValueError(f"{digest[:80]!r} is no SHA-256 of 64 hexadecimal digits: leave sha256 out if it is not known")
    return digest


def _neighbour_of(path: str, name: str) -> str:
    """Return the path, or the address, of a file of that name in the same folder."""
    return path[: path.rfind("/") + 1] + name


def models_home() -> Path:
    """Return the folder that holds fetched and imported sets; ``RS_TEXTSEG_MODELS`` moves it."""
    chosen = os.environ.get("RS_TEXTSEG_MODELS")
    return Path(chosen) if chosen else data_home() / "models"


def shipped_home() -> Path:
    """Return the folder that holds the sets which come with the product, files and all."""
    return package_file("resources")


def set_folder(name: str) -> Path | None:
    """Return the folder of a set that ships with the product, was fetched or was imported; None: there is none."""
    shipped, fetched = shipped_home() / name, models_home() / name
    if (shipped / MANIFEST).is_file():
        return shipped
    return fetched if fetched.is_dir() else None


def load_catalog() -> tuple[ModelSet, ...]:
    """Return the sets that the product knows: those that ship with it, and those whose files may not be here yet."""
    shipped = tuple(read_manifest(path) for path in sorted(shipped_home().glob(f"*/{MANIFEST}")))
    data = json.loads(Path(__file__).with_name("catalog.json").read_text(encoding="utf-8"))
    files = {key: ModelFile.from_json(entry) for key, entry in data["files"].items()}
    return (*shipped, *(_read_set(entry, tuple(files[key] for key in entry["files"])) for entry in data["sets"]))


def read_manifest(path: Path) -> ModelSet:
    """Read a set's own ``models.json``: the same fields as in the catalogue, with the files written out.

    Raises:
        ValueError: not JSON, a field is missing or unknown, or a file lies outside the set's folder.
    """
    try:
        if path.stat().st_size > _MOST_MANIFEST_BYTES:
            raise ValueError(f"it is larger than {_MOST_MANIFEST_BYTES / 1e6:g} MB")
        data = json.loads(path.read_text(encoding="utf-8"))
        return _read_set(data, tuple(ModelFile.from_json(entry) for entry in data["files"]))
    except RecursionError:
        raise ValueError(f"{path} is no model manifest: it is nested too deeply") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is no model manifest: {str(error)[:200]}") from error


def own_parameters(models: str) -> Values:
    """Return the parameters that a set, or a folder with a manifest, brings along; none where it cannot be read."""
    chosen = Path(models).expanduser()
    folder = chosen if models.strip() and chosen.is_dir() else set_folder(models)
    if folder is not None and (folder / MANIFEST).is_file():
        try:
            return dict(read_manifest(folder / MANIFEST).parameters)
        except ValueError:  # the engine will say so
            return {}
    return next((dict(entry.parameters) for entry in load_catalog() if entry.id == models), {})


def _read_set(data: Mapping[str, Any], files: tuple[ModelFile, ...]) -> ModelSet:
    values = {**data, "files": files, "pipelines": tuple(data["pipelines"]), "words": tuple(data.get("words", ()))}
    return ModelSet(**values)


def is_installed(model_set: ModelSet) -> bool:
    """Whether every file of a catalogue set lies in its folder (their content is verified before loading)."""
    folder = set_folder(model_set.id)
    return folder is not None and all((folder / file.name).is_file() for file in model_set.all_files)


def near_names(name: str, sets: Iterable[str]) -> list[str]:
    """Return the names of sets that are spelt most like a name; the first ones where none is."""
    names = list(sets)
    return difflib.get_close_matches(name, names, cutoff=0.5) or names[:3]


def known_sets() -> dict[str, bool]:
    """Return the names that ``--models`` takes, catalogue sets and imported ones, and whether each is here."""
    names = {entry.id: is_installed(entry) for entry in load_catalog()}
    home = models_home()
    found = home.iterdir() if home.is_dir() else ()
    folders = sorted(path.name for path in found if path.is_dir() and not path.name.startswith("."))
    return {**names, **{name: True for name in folders if name not in names}}
