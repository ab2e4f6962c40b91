"""Small data in the layouts that tuning reads."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image


def runs_of(mask: np.ndarray) -> dict[str, object]:
    """COCO's runs, written down pixel by pixel."""
    counts, current = [0], False
    for value in mask.ravel(order="F").tolist():
        if value != current:
            counts.append(0)
            current = value
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


def packed(counts: list[int]) -> str:
    """COCO's letters for runs."""
    letters = ""
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        while True:
            digit, value = value & 31, value >> 5
            goes_on = not (value == 0 and not digit & 16) and not (value == -1 and digit & 16)
            letters += chr(48 + digit + (32 if goes_on else 0))
            if not goes_on:
                break
    return letters


def square(left: int, top: int, side: int, height: int = 64, width: int = 96) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def picture_of(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """Bright things on a dark ground."""
    noise = np.random.default_rng(seed).integers(0, 40, (*mask.shape, 3))
    return (noise + mask[:, :, None] * 200).astype(np.uint8)


def save(array: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def write_rrsis_d(folder: Path) -> Path:
    """Three pictures: one a split; the training one with two phrases."""
    images, annotations, refs = [], [], []
    for number, split in enumerate(("train", "val", "test")):
        mask = square(10 + 20 * number, 12, 16)
        save(picture_of(mask), folder / "images" / "rrsisd" / "JPEGImages" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 64, "width": 96})
        runs = runs_of(mask)
        annotations.append({"id": 100 + number, "image_id": number, "category_id": 7, "segmentation": [runs]})
        sentences = [{"raw": f"the bright square {number}", "sent": "x"}] + [{"sent": "another"}] * (split == "train")
        ref = {"ref_id": number, "ann_id": 100 + number, "image_id": number, "split": split, "sentences": sentences}
        refs.append(ref)
    (folder / "rrsisd").mkdir(parents=True)
    told = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "tank"}]}
    (folder / "rrsisd" / "instances.json").write_text(json.dumps(told))
    (folder / "rrsisd" / "refs(unc).p").write_bytes(pickle.dumps(refs))
    return folder


def write_earth_reason(folder: Path) -> Path:
    """Two pictures a split, the second without an answer."""
    for split in ("train", "val", "test"):
        for name, mask in (("a", square(30, 20, 20) | square(2, 2, 5)), ("b", np.zeros((64, 96), bool))):
            save(picture_of(mask), folder / split / "images" / f"{name}.png")
            save(mask.astype(np.uint8) * 255, folder / split / "labels" / f"{name}.png")
            questions = folder / split / "QAs" / f"{name}.json"
            questions.parent.mkdir(exist_ok=True)
            questions.write_text(json.dumps({"questions": [f"where {name}?", f"which {name}?"], "answers": ["there"]}))
    return folder


def write_mask_table(folder: Path, count: int = 6) -> Path:
    """Pictures with one bright square each, and one with nothing in it."""
    rows = []
    for number in range(count):
        mask = square(8 + 10 * number % 60, 10 + 3 * number, 18)
        save(picture_of(mask, number), folder / f"{number}.png")
        save(mask.astype(np.uint8) * 255, folder / f"{number}_mask.png")
        rows.append({"image": f"{number}.png", "mask": f"{number}_mask.png", "phrase": "the bright square"})
    save(picture_of(np.zeros((64, 96), bool), 99), folder / "empty.png")
    rows.append({"image": "empty.png", "mask": "", "phrase": "the bright square"})
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "mask", "phrase"])
        writer.writeheader()
        writer.writerows(rows)
    return path
