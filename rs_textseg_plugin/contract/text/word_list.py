"""Class lists under a name: the published ones of the benchmarks, and the user's own.

A word list is a text file in the syntax of a typed class list (see `query`), one class a line; lines that begin with
``#`` say what it is. The published "background" is written as a negative class here: it competes and is never output,
and where nothing else is found the result is empty, as in the benchmarks. Lists of a single class leave it to the
pipeline's competitor.

A publication may have other values for each data set. Its list carries them in lines of the form
``#: PRESET parameter=value parameter=value``. They count with that preset only, after its own and before the user's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rs_textseg_plugin.contract.errors import OutputError, QueryError, RecipeError, shown
from rs_textseg_plugin.contract.folders import data_home
from rs_textseg_plugin.contract.query import parse_class_list
from rs_textseg_plugin.contract.recipe import PIPELINES, PRESETS, Values
from rs_textseg_plugin.contract.text.file_name import why_no_file_name
from rs_textseg_plugin.contract.text.typed_values import parse_parameters

_SUFFIX = ".txt"
_COMMENT = "#"
_FOR_PRESET = "#:"


@dataclass(frozen=True)
class WordList:
    """A class list with a name.

    Attributes:
        name: on the command line; for a file elsewhere its path.
        about: what it is and where it comes from; may be empty.
        text: the class list as it would be typed, in one line.
        is_own: whether the user made it.
        by_preset: values of parameters that go with it, in their types, by the name of the preset.
    """

    name: str
    about: str
    text: str
    is_own: bool
    by_preset: Mapping[str, Values] = field(default_factory=dict)

    def parameters(self, preset: str) -> Values:
        """Return the values that go with the list where that preset is chosen; an empty name is no preset."""
        return self.by_preset.get(preset, {})


def own_lists_home() -> Path:
    """Return the folder with the user's own lists; it may not exist yet."""
    return data_home() / "word_lists"


def known_word_lists() -> list[WordList]:
    """Return all lists by name, the user's own in place of published ones of the same name.

    Raises:
        QueryError: one of the user's files cannot be read.
    """
    published = _lists_in(Path(__file__).with_name("word_lists"), is_own=False)
    named = {**published, **_lists_in(own_lists_home(), is_own=True)}
    return [named[name] for name in sorted(named)]


def find_word_list(name: str) -> WordList:
    """Return the list of that name, or the one in a text file.

    Raises:
        QueryError: there is neither, or the file cannot be read.
    """
    lists = {entry.name: entry for entry in known_word_lists()}
    if name in lists:
        return lists[name]
    path = Path(name).expanduser()
    if path.suffix == _SUFFIX and path.is_file():
        return _read(path, name, is_own=True)
    raise QueryError(
        f"There is no word list {shown(name)} and no such text file: choose one of {', '.join(lists)}, "
        f"or save your own as {own_lists_home() / 'NAME.txt'}."
    )


def save_word_list(name: str, text: str, about: str = "", replace: bool = False) -> Path:
    """Save a class list as one of the user's own; return its file.

    Args:
        name: of the list.
        text: the class list as it would be typed.
        about: what it is, in a sentence.
        replace: whether a list of the user's own under that name may be written over.

    Raises:
        QueryError: the text is no class list.
        OutputError: the name is no plain one or is taken, or the file cannot be written.
    """
    parse_class_list(text)
    path = _own_file(name)
    if path.exists() and not replace:
        raise OutputError(
            f"There is a word list {shown(name)} of yours already ({path}): choose another name, or edit it."
        )
    lines = [f"{_COMMENT} {line}" for line in about.splitlines()] + [text.strip()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"The word list {path} cannot be written ({error}): check the folder's permissions."
        ) from error
    return path


def remove_word_list(name: str) -> None:
    """Remove one of the user's own lists; a published one of the same name comes back.

    Raises:
        OutputError: there is none of that name, or its file cannot be removed.
    """
    path = _own_file(name)
    try:
        path.unlink()
    except OSError as error:
        raise OutputError(
            f"The word list {shown(name)} cannot be removed ({error}): only your own lists in {path.parent} can be."
        ) from error


def _own_file(name: str) -> Path:
    reason = why_no_file_name(name)
    if reason:
        raise OutputError(f"The name {shown(name)} is no plain name, since {reason}: choose another one.")
    return own_lists_home() / f"{name}{_SUFFIX}"


def _lists_in(folder: Path, is_own: bool) -> dict[str, WordList]:
    return {path.stem: _read(path, path.stem, is_own) for path in sorted(folder.glob(f"*{_SUFFIX}"))}


def _read(path: Path, name: str, is_own: bool) -> WordList:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(
            f"The word list {path} cannot be read ({error}): save it as UTF-8 text, or remove it."
        ) from error
    comments = [line for line in lines if line.startswith(_COMMENT)]
    about = [line.lstrip(f"{_COMMENT} ") for line in comments if not line.startswith(_FOR_PRESET)]
    classes = [line.strip(" ,;") for line in lines if not line.startswith(_COMMENT)]
    try:
        by_preset = _read_values(line for line in comments if line.startswith(_FOR_PRESET))
    except (QueryError, RecipeError) as error:
        raise QueryError(f"The word list {path} has a line for a preset that cannot be used. {error}") from error
    return WordList(name, " ".join(about).strip(), ", ".join(filter(None, classes)), is_own, by_preset)


def _read_values(lines: Iterable[str]) -> dict[str, Values]:
    """Read lines ``#: PRESET parameter=value``.

    Raises:
        QueryError: a line names no preset, or one twice.
        RecipeError: a parameter does not exist or is a permission, or a value does not fit.
    """
    by_preset: dict[str, Values] = {}
    for line in lines:
        preset, *entries = line[len(_FOR_PRESET) :].split() or [""]
        if preset not in PRESETS or preset in by_preset:
            problem = "is named twice" if preset in by_preset else "does not exist"
            raise QueryError(
                f"The preset {shown(preset)} {problem}: write one line '{_FOR_PRESET} PRESET parameter=value' for a "
                f"preset, which is one of {', '.join(PRESETS)}."
            )
        info = next(info for info in PIPELINES.values() if preset in info.presets)
        given = parse_parameters(entries)
        read = info.read_parameters(given)
        for name in set(given) - set(info.own(given)):
            raise RecipeError(f"The parameter {name} is a permission, which only a user gives: remove it.")
        by_preset[preset] = {name: read[name] for name in given}
    return by_preset
