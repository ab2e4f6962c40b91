"""A user's own pictures and masks, listed in a table.

A CSV file with a header and the columns

* ``image``, ``mask``: paths, relative to the file; where ``mask`` is empty, nothing in the picture fits the phrase;
* ``phrase``: what is asked for;
* ``label`` (may be left out): what it is, in a few words; the phrase, where it is not said;
* ``split`` (may be left out): ``train``, ``val`` or ``test``. Without it, pictures are divided by their names.

Rows with the same picture and phrase are several things that one phrase means.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from rs_textseg_plugin.contract.errors import SceneError
from tuning.examples import Example, Mask, Shown, in_split, read_mask, read_picture, require_same_size, things_in

_NEEDED = ("image", "mask", "phrase")
Row = Mapping[str, str]


def read_mask_table(path: Path, split: str, regions: str, held_out: float) -> list[Example]:
    """Return the questions of a split, in the table's order.

    Args:
        path: the table.
        split: ``train``, ``val`` or ``test``.
        regions: see `things_in`.
        held_out: see `in_split`.

    Raises:
        SceneError: the table cannot be read, or lacks a column.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in _rows(path):
        groups.setdefault((row["image"].strip(), row["phrase"].strip()), []).append(row)
    chosen = in_split([image for image, _ in groups], split, held_out)
    return [
        Example(
            f"table/{image}/{phrase}",
            phrase,
            (rows[0].get("label") or "").strip() or phrase,
            partial(_read, path.parent / image, _masks(path.parent, rows), regions),
        )
        for ((image, phrase), rows), is_chosen in zip(groups.items(), chosen)
        if ((rows[0].get("split") or "").strip() or (split if is_chosen else "")) == split
    ]


def _masks(folder: Path, rows: Sequence[Row]) -> list[Path]:
    return [folder / row["mask"].strip() for row in rows if row["mask"].strip()]


def _read(picture: Path, masks: Sequence[Path], regions: str) -> Shown:
    rgb = read_picture(picture)
    things: list[Mask] = []
    for path in masks:
        mask = read_mask(path)
        require_same_size(rgb, mask, path)
        things += things_in(mask, regions)
    return Shown(rgb, tuple(things))


def _rows(path: Path) -> list[Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            columns, rows = table.fieldnames or [], list[Row](table)
    except (OSError, ValueError, csv.Error) as error:
        raise SceneError(f"The table {path} cannot be read ({error}): check its path, and save it as UTF-8.") from error
    lacking = [name for name in _NEEDED if name not in columns]
    if lacking:
        raise SceneError(f"The table {path} has no column {lacking[0]!r}: it needs {', '.join(_NEEDED)}.")
    short = [number for number, row in enumerate(rows, 2) if any(row[name] is None for name in _NEEDED)]
    if short:
        raise SceneError(f"Row {short[0]} of the table {path} is too short: it needs {', '.join(_NEEDED)}.")
    return rows
