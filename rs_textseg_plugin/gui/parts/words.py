"""Numbers and names as the user reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rs_textseg_plugin.contract.errors import QueryError
from rs_textseg_plugin.contract.events import Finished, Progress
from rs_textseg_plugin.contract.recipe import Parameter, Values
from rs_textseg_plugin.contract.text.phrase import read_phrase
from rs_textseg_plugin.host.translate import tr

_MOST_ANSWERS = 8
_UNITS = {"px": "px", "m": "m", "m2": "m²", "s": "s"}
_SPELLED = {
    "clip": "CLIP",
    "cls": "<CLS>",
    "iou": "IoU",
    "nms": "NMS",
    "sam": "SAM",
    "min": "minimum",
    "pred": "predicted",
    "prob": "probability",
    "thresh": "threshold",
}


def progress_in_words(progress: Progress) -> str:
    """Return for example "Segmenting, tile 3 of 9, about 2 min left"."""
    parts = [progress.stage[:1].upper() + progress.stage[1:]]
    if 0 <= progress.tiles_done < progress.tiles_total:
        parts.append(tr("tile {} of {}").format(progress.tiles_done + 1, progress.tiles_total))
    if progress.seconds_left is not None and progress.fraction < 1:
        parts.append(time_left_in_words(progress.seconds_left))
    return ", ".join(parts)


def time_left_in_words(seconds: float) -> str:
    """Return a rounded time: an estimate to the second would be a lie."""
    if seconds < 10:
        return tr("a few seconds left")
    if seconds < 90:
        return tr("about {} s left").format(round(seconds / 10) * 10)
    if seconds < 90 * 60:
        return tr("about {} min left").format(round(seconds / 60))
    return tr("about {} h left").format(round(seconds / 3600))


def counts_in_words(counts: Mapping[str, int]) -> str:
    """Return for example "Found so far: building 12, road 3"; empty while nothing is found."""
    found = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    return tr("Found so far: {}").format(found) if found else ""


def answers_in_words(answers: Sequence[str]) -> str:
    """Return the words of a language model, a line for each object; of many objects only the first."""
    if not answers:
        return ""
    lines = [f"{number}. {answer}" for number, answer in enumerate(answers[:_MOST_ANSWERS], start=1)]
    more = len(answers) - len(lines)
    return "\n".join([tr("The model answered:"), *lines, *([tr("and {} more").format(more)] if more else [])])


def area_in_words(area_m2: float) -> str:
    """Return an area with three digits, in the unit that makes it short."""
    if area_m2 < 10_000:
        return f"{area_m2:.3g} m²" if area_m2 < 1000 else f"{area_m2:.0f} m²"
    if area_m2 < 1_000_000:
        return f"{area_m2 / 10_000:.3g} ha"
    return f"{area_m2 / 1_000_000:.3g} km²" if area_m2 < 1e9 else f"{area_m2 / 1_000_000:.0f} km²"


def found_in_words(finished: Finished) -> str:
    """Return count and time of a finished run, in one sentence that fits a narrow message bar."""
    return _found(finished, tr("{} polygons in {} s."), tr("{} polygon in {} s."))


def result_in_words(finished: Finished) -> str:
    """Return count, time and device of a finished run, and that its models are demo models where they are."""
    found = _found(finished, tr("{} polygons in {} s on {}."), tr("{} polygon in {} s on {}."))
    if not finished.is_demo or not any(row.count for row in finished.classes):
        return found
    return f"{found} " + tr("These are demo models, which only show how the product works.")


def _found(finished: Finished, plural: str, singular: str) -> str:
    """Fill in count, seconds and device, in what takes that much."""
    count = sum(row.count for row in finished.classes)
    if not count:
        return tr("Nothing was found: try other words, or lower the probability threshold.")
    device = finished.device or tr("an unnamed device")
    return (plural if count > 1 else singular).format(count, max(1, round(finished.seconds)), device)


def reading_in_words(phrase: str) -> str:
    """Return the reading of a referring phrase and the words that were not read; empty where it cannot be read."""
    try:
        reading = read_phrase(phrase)
    except QueryError:
        return ""
    read = tr("Read as: {}.").format(reading)
    if not reading.not_read:
        return read
    words = ", ".join(f"'{word}'" for word in reading.not_read)
    return f"{read} " + tr("Not understood as a place or size: {}. It is looked for as a part of the name.").format(
        words
    )


def list_parameters_in_words(preset: str, values: Values) -> str:
    """Return what a class list brings along for a preset, as "prob_threshold=0.3" and the like."""
    listed = ", ".join(f"{name}={value}" for name, value in values.items())
    return tr("With the preset {}, this class list sets {}.").format(preset, listed)


def parameter_label(parameter: Parameter) -> str:
    """Return for example "CLIP long side (px)" for ``clip_long_side_px``."""
    words = parameter.name.split("_")
    unit = _UNITS.get(words[-1], "") if len(words) > 1 else ""
    spelled = [_SPELLED.get(word, word) for word in (words[:-1] if unit else words)]
    label = " ".join(spelled)
    label = label[:1].upper() + label[1:]
    return f"{label} ({unit})" if unit else label
