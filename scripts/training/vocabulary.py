"""The words that the demo CLIP learns, and the sentences they stand in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rs_textseg_plugin.engine.models.owl import SENTENCE
from scenes.words import CLASSES

SYNONYMS: dict[str, tuple[str, ...]] = {
    "building": ("building", "roof", "house", "rooftop", "buildings", "houses"),
    "road": ("road", "street", "highway", "roads", "streets", "asphalt road"),
    "water": ("water", "river", "lake", "sea", "water body", "pond"),
    "tree": ("tree", "trees", "single tree", "garden tree"),
    "forest": ("forest", "woodland", "woods", "forests"),
    "grass": ("grass", "lawn", "meadow", "grassland", "pasture"),
    "cropland": ("cropland", "crops", "farmland", "field", "agricultural field", "crop field", "agriculture"),
    "bare soil": ("bare soil", "soil", "bare ground", "dirt", "barren land", "bare earth"),
    "car": ("car", "cars", "vehicle", "vehicles", "automobile"),
    "ship": ("ship", "ships", "boat", "boats", "vessel"),
    "swimming pool": ("swimming pool", "pool", "swimming pools", "pools"),
    "solar panel": ("solar panel", "solar panels", "photovoltaic panel", "solar array"),
    "car park": ("car park", "parking lot", "parking", "parking area", "car parks"),
    "storage tank": ("storage tank", "storage tanks", "tank", "oil tank", "fuel tank"),
}
# What a class that is asked for alone competes with: everything that was not asked for.
BACKGROUND = ("background", "background", "other", "something else", "everything else")
# Words that are never learned: all that the model learns of them is that they name nothing it can see.
UNKNOWN = (
    "airplane", "bridge", "train", "tennis court", "helicopter", "runway", "snow", "glacier", "beach", "greenhouse",
    "wind turbine", "railway track", "stadium", "horse", "cloud", "desert", "quarry", "playground", "crane", "dam",
)  # fmt: skip
UNKNOWN_TOKEN = 49405  # stands for every token that no sentence of the training holds


def all_sentences() -> list[str]:
    """Return every sentence that the detector learns and that is about something."""
    return [SENTENCE.format(word) for words in SYNONYMS.values() for word in words]


def pick_words(classes: Sequence[int], rng: np.random.Generator) -> list[str]:
    """Return one word for each class (0-based position in `CLASSES`); the class's own name half of the time."""
    words = []
    for index in classes:
        name = CLASSES[index]
        words.append(name if rng.random() < 0.5 else str(rng.choice(SYNONYMS[name])))
    return words


def pick_sentences(words: Sequence[str], templates: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Put every word into a template of its own."""
    return [str(templates[rng.integers(len(templates))]).replace("{}", word) for word in words]
