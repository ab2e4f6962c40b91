"""EarthReason: questions whose answer is an area of a picture, or nothing.

What is known of its layout (from public code that reads it; the data itself was not at hand)::

    FOLDER/train/images/*.jpg     also FOLDER/train/train/images, as it comes out of its archive
    FOLDER/train/labels/*.png     not 0: the answer
    FOLDER/train/QAs/*.json       {"questions": [...], "answers": [...]}
    FOLDER/val, FOLDER/test       the same

That code pairs the three by their sorted order; here they are paired by their names, and a picture without the other
two is refused. About six questions belong to a picture: training takes all of them, evaluation the first, as the
published evaluation does. What is in ``answers`` is not used.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from rs_textseg_plugin.contract.errors import SceneError
from tuning.examples import TRAIN, Example, Shown, read_mask, read_picture, require_same_size, things_in

_PICTURES, _LABELS, _QUESTIONS = (".jpg", ".jpeg", ".png", ".tif"), (".png", ".tif"), (".json", ".txt")


def read_earth_reason(folder: Path, split: str, regions: str) -> list[Example]:
    """Return the questions of a split, by the names of its pictures.

    Args:
        folder: see above.
        split: ``train``, ``val`` or ``test``.
        regions: see `things_in`.

    Raises:
        SceneError: a folder or a file is missing or is not as described.
    """
    pictures, labels, questions = (
        _files_in(_folder(folder, split, name), suffixes)
        for name, suffixes in (("images", _PICTURES), ("labels", _LABELS), ("QAs", _QUESTIONS))
    )
    alone = sorted(pictures.keys() - (labels.keys() & questions.keys()))
    if alone:
        raise SceneError(
            f"{len(alone)} pictures in {folder / split} have no label or no questions of the same name, the first is "
            f"{pictures[alone[0]].name}: add them, or take the pictures out."
        )
    return [
        Example(f"earthreason/{split}/{name}/{number}", question, question, read)
        for name, picture in sorted(pictures.items())
        for read in [partial(_read, picture, labels[name], regions)]
        for number, question in enumerate(_asked(questions[name], split))
    ]


def _read(picture: Path, label: Path, regions: str) -> Shown:
    rgb, mask = read_picture(picture), read_mask(label)
    require_same_size(rgb, mask, label)
    return Shown(rgb, things_in(mask, regions))


def _asked(path: Path, split: str) -> list[str]:
    try:
        questions = [str(question).strip() for question in json.loads(path.read_text(encoding="utf-8"))["questions"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SceneError(f'The file {path} has no list of "questions" ({error!r}): correct or remove it.') from error
    return questions if split == TRAIN else questions[:1]


def _folder(folder: Path, split: str, name: str) -> Path:
    places = [folder / split / name, folder / split / split / name]
    found = [place for place in places if place.is_dir()]
    if not found:
        raise SceneError(f"There is no folder {places[0]}: name the folder of EarthReason that holds {split}.")
    return found[0]


def _files_in(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes}
