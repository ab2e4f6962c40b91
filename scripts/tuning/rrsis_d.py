"""RRSIS-D: phrases that each mean one thing in a picture of 800 x 800 pixels.

What is known of its layout (from public code that reads it; the data itself was not at hand)::

    FOLDER/images/rrsisd/JPEGImages/*.jpg
    FOLDER/rrsisd/instances.json          as COCO: images, annotations with runs of pixels, categories
    FOLDER/rrsisd/refs(unc).p             a pickle: a list with ref_id, ann_id, image_id, split and sentences

The folder ``rrsisd`` itself is taken too, with the pictures in ``JPEGImages`` or ``images`` inside. Splits are those
of the file: train 12,181, val 1,740, test 3,481 phrases, as published.

A pickle can run code when it is opened. This one needs none, and nothing but lists, dictionaries, words and numbers is
read from it.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rs_textseg_plugin.contract.errors import SceneError
from tuning.coco_masks import decode
from tuning.examples import Example, Shown, read_picture, require_same_size, things_in

_PICTURES = ("images/rrsisd/JPEGImages", "JPEGImages", "images")


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, dictionaries, words and numbers; whatever else a pickle names is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


@dataclass(frozen=True)
class _Files:
    phrases: Path
    instances: Path
    pictures: Path


def read_rrsis_d(folder: Path, split: str, regions: str) -> list[Example]:
    """Return the phrases of a split, in the file's order.

    Args:
        folder: see above.
        split: ``train``, ``val`` or ``test``.
        regions: see `things_in`.

    Raises:
        SceneError: a file is missing or is not as described, or the split is empty.
    """
    files = _find(folder)
    told = _read_json(files.instances)
    try:
        pictures = {image["id"]: image for image in told["images"]}
        masks = {annotation["id"]: annotation for annotation in told["annotations"]}
        names = {category["id"]: category["name"] for category in told.get("categories", [])}
        found = [
            _example(ref, number, sentence, pictures, masks, names, files.pictures, regions)
            for ref in read_plain_pickle(files.phrases)
            if ref["split"] == split
            for number, sentence in enumerate(ref["sentences"])
        ]
    except (KeyError, TypeError) as error:
        raise SceneError(f"The files in {files.instances.parent} are not those of RRSIS-D ({error!r}).") from error
    if not found:
        raise SceneError(f"The data in {folder} has no phrase of the split {split!r}: name train, val or test.")
    return found


def _example(
    ref: Mapping[str, Any],
    number: int,
    sentence: Mapping[str, Any],
    pictures: Mapping[Any, Mapping[str, Any]],
    masks: Mapping[Any, Mapping[str, Any]],
    names: Mapping[Any, str],
    folder: Path,
    regions: str,
) -> Example:
    picture, mask = pictures[ref["image_id"]], masks[ref["ann_id"]]
    phrase = str(sentence.get("raw") or sentence["sent"]).strip()
    label = names.get(mask.get("category_id"), phrase)
    read = partial(_read, folder / str(picture["file_name"]), mask["segmentation"], regions)
    return Example(f"rrsis-d/{ref['ref_id']}/{number}", phrase, label, read)


def _read(path: Path, segmentation: Any, regions: str) -> Shown:
    rgb = read_picture(path)
    try:
        mask = decode(segmentation, *rgb.shape[:2])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise SceneError(f"The mask of {path} cannot be read ({error}): take it out of instances.json.") from error
    require_same_size(rgb, mask, path)
    return Shown(rgb, things_in(mask, regions))


def read_plain_pickle(path: Path) -> Any:
    """Return what a pickle holds that is made of lists, dictionaries, words and numbers.

    Raises:
        SceneError: it holds something else, or is damaged.
    """
    try:
        return _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, AttributeError, TypeError) as error:
        raise SceneError(f"The file {path} was not read ({error}): it should hold only lists of words.") from error


def _find(folder: Path) -> _Files:
    inner = folder / "rrsisd" if (folder / "rrsisd").is_dir() else folder
    instances, phrases = inner / "instances.json", inner / "refs(unc).p"
    pictures = [place / name for place in (folder, inner) for name in _PICTURES if (place / name).is_dir()]
    lacking = [str(path) for path in (instances, phrases) if not path.is_file()]
    if lacking or not pictures:
        what = lacking[0] if lacking else f"{folder / _PICTURES[0]} with the pictures"
        raise SceneError(f"There is no {what}: name the folder of RRSIS-D that holds rrsisd and images.")
    return _Files(phrases, instances, pictures[0])


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SceneError(f"The file {path} is damaged ({error}): fetch it again.") from error
