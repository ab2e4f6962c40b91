"""The published rules behind the presets, written down literally for small sizes: nothing is shared with the product.

Networks are those of the published packages (open_clip, transformers, segment_anything). What is done with their
answers is written from the papers and from notes on the released codes, one step after the other.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from literal_segearth import literal_logits, normalised
from literal_surgery import literal_points, literal_similarity, literal_surgery_features
from PIL import Image

from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402
from segment_anything import SamAutomaticMaskGenerator, SamPredictor  # noqa: E402

OPENAI = [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
SURGERY = [*OPENAI, "there is a {} in the scene.", "there is the {} in the scene.", "this is a {} in the scene.",
           "this is the {} in the scene.", "this is one {} in the scene."]  # fmt: skip


@torch.inference_mode()
def text_features(model, words: list[str], templates: list[str]) -> torch.Tensor:
    """``(A, D)``: every sentence of unit length, their mean of unit length."""
    tokenizer = open_clip.get_tokenizer("ViT-B-16")
    rows = []
    for word in words:
        features = model.encode_text(tokenizer([template.replace("{}", word) for template in templates]))
        mean = (features / features.norm(dim=-1, keepdim=True)).mean(dim=0)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


def opencv_bilinear(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """OpenCV's INTER_LINEAR of ``(H, W, 3)`` uint8, but for its fixed point: four neighbours, no antialias."""

    def neighbours(length_in: int, length_out: int):
        place = (np.arange(length_out) + 0.5) * length_in / length_out - 0.5
        first = np.floor(place).astype(int)
        return np.clip(first, 0, length_in - 1), np.clip(first + 1, 0, length_in - 1), place - first

    above, below, down = neighbours(rgb.shape[0], height)
    left, right, across = neighbours(rgb.shape[1], width)
    values = rgb.astype(np.float64)
    upper = values[above][:, left] * (1 - across)[:, None] + values[above][:, right] * across[:, None]
    lower = values[below][:, left] * (1 - across)[:, None] + values[below][:, right] * across[:, None]
    return np.floor(upper * (1 - down)[:, None, None] + lower * down[:, None, None] + 0.5).astype(np.uint8)


@torch.inference_mode()
def segearth_probabilities(model, upsampler, rgb, words: list[str], word_class: list[int], settings) -> np.ndarray:
    """SegEarth-OV, released configuration: class probabilities ``(K, H, W)`` of a whole picture.

    mmseg's Resize with keep_ratio to the long side, windows, features, debias, mean, back to the picture's size, times
    50, softmax over the words, maximum over the words of a class.
    """
    height, width = rgb.shape[:2]
    scale = settings.long_side_px / max(height, width)
    canvas = opencv_bilinear(rgb, int(width * scale + 0.5), int(height * scale + 0.5))
    features = text_features(model, words, OPENAI).numpy()
    seen = literal_logits(model.visual, upsampler, canvas, features, settings)
    logits = F.interpolate(seen[None], size=(height, width), mode="bilinear")[0]
    probabilities = torch.softmax(50 * logits, dim=0).numpy()
    return np.stack([probabilities[np.array(word_class) == k].max(axis=0) for k in range(max(word_class) + 1)])


def generated_masks(sam, rgb: np.ndarray, points_per_side: int) -> list[dict]:
    """The masks of the released generator at its own thresholds."""
    return SamAutomaticMaskGenerator(sam, points_per_side=points_per_side).generate(rgb)


def paper_several(probabilities: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
    """Sosa et al., several classes: L = argmax; a mask's label is the majority class of L inside it.

    What is under no mask keeps L, and small masks lie over large ones, which the paper leaves open.
    """
    label_map = probabilities.argmax(axis=0)
    result = label_map.copy()
    for mask in sorted(masks, key=lambda mask: -mask.sum()):
        counts = [int((label_map[mask] == k).sum()) for k in range(len(probabilities))]
        result[mask] = counts.index(max(counts))
    return result


def paper_one(foreground: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
    """Sosa et al., one class: keep M where |M and B| / |M| reaches the share; the output is the union of kept masks."""
    binary = foreground >= 0.5
    result = np.zeros(foreground.shape, bool)
    for mask in masks:
        if (mask & binary).sum() / mask.sum() >= 0.5:
            result |= mask
    return result


@torch.inference_mode()
def grounding_union(detector, processor, sam, rgb: np.ndarray, prompts: list[str]) -> tuple[np.ndarray, int]:
    """Text2Seg, branch 1: one forward a prompt, boxes over 0.35, one mask a box, their union; and how many boxes."""
    height, width = rgb.shape[:2]
    boxes = []
    for prompt in prompts:
        inputs = processor(
            images=rgb, text=f"{prompt.lower()}.", return_tensors="pt", input_data_format="channels_last"
        )
        outputs = detector(**inputs)
        for logits, (x, y, w, h) in zip(outputs.logits[0], outputs.pred_boxes[0].tolist()):
            if torch.sigmoid(logits).max() > 0.35:
                left, top, right, bottom = x - w / 2, y - h / 2, x + w / 2, y + h / 2
                boxes.append([left * width, top * height, right * width, bottom * height])
    union = np.zeros((height, width), bool)
    if boxes:
        predictor = SamPredictor(sam)
        predictor.set_image(rgb)
        given = predictor.transform.apply_boxes_torch(torch.tensor(boxes), (height, width))
        masks, _, _ = predictor.predict_torch(None, None, boxes=given, multimask_output=False)
        union = (masks.sum(dim=0) > 0)[0].numpy()
    return union, len(boxes)


@torch.inference_mode()
def surgery_mask(model, sam, rgb: np.ndarray, prompts: list[str]) -> np.ndarray:
    """Text2Seg, branch 2: the picture squashed to 224 px, feature surgery against "", points, one mask.

    Of several prompts for one class the hottest counts at each cell; the release takes one.
    """
    picture = np.asarray(Image.fromarray(rgb).resize((224, 224), Image.Resampling.BICUBIC))
    features = literal_surgery_features(model.visual, normalised(picture[None].copy()), "bilinear")
    words = text_features(model, [*prompts, ""], SURGERY)
    similarity = literal_similarity(features, words[:-1], words[-1])[0].max(dim=-1).values
    points, labels = literal_points(similarity, 14, rgb.shape[:2], 0.8, 2)
    predictor = SamPredictor(sam)
    predictor.set_image(rgb)
    masks, _, _ = predictor.predict(np.array(points), np.array(labels), multimask_output=False)
    return masks[0]


@torch.inference_mode()
def retrieved_masks(model, masks: list[np.ndarray], rgb: np.ndarray, prompts: list[str]) -> list[int]:
    """Text2Seg, branch 3: which masks are kept for the synonyms of a class.

    Each mask on black, cropped to its box, squashed to CLIP's square; for each synonym, which is in no sentence, the
    softmax over the masks of 100 cosines; kept is what has more than 0.05 for any synonym.
    """
    side, crops = model.visual.image_size[0], []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        shown = (rgb * mask[..., None])[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        crops.append(np.asarray(Image.fromarray(shown).resize((side, side), Image.Resampling.BICUBIC)))
    features = model.encode_image(normalised(np.stack(crops)))
    features = features / features.norm(dim=-1, keepdim=True)
    kept = set()
    for word in text_features(model, prompts, ["{}"]):
        shares = torch.softmax(100 * features @ word, dim=0)
        kept |= {number for number, share in enumerate(shares.tolist()) if share > 0.05}
    return sorted(kept)
