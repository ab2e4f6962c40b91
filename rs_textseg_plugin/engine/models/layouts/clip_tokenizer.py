"""Parts of a CLIP that open_clip would fetch from a hub, taken from the files beside the weights or refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.layouts.vocabulary import has_vocabulary
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402 (imports torchvision)

_CONTEXT = 77  # tokens, where a configuration does not say
_OPTIONS = ("clean", "language", "strip_sep_token")  # of a tokenizer; any other could order it to run or fetch things


def without_fetching(config: Mapping[str, Any], weights: Path) -> dict[str, Any]:
    """Return open_clip's configuration so that building it fetches nothing.

    Args:
        config: as published; text towers of Hugging Face are named there, and image towers of timm.
        weights: the checkpoint, beside which ``config.json`` of such a text tower has to lie.

    Raises:
        ModelError: it does not, or an image tower is named that would be fetched.
    """
    vision, text = dict(config.get("vision_cfg", {})), dict(config.get("text_cfg", {}))
    image_tower = str(vision.get("timm_model_name") or "")
    if ":" in image_tower:  # timm would look for it elsewhere
        raise ModelError(
            f"The CLIP {weights} has the image tower {image_tower[:80]!r}, which would be fetched: take a model whose "
            "configuration names one that timm has."
        )
    if image_tower:
        vision["timm_model_pretrained"] = False
    tower = text.get("hf_model_name")
    if tower:
        if not weights.with_name("config.json").is_file():
            raise ModelError(
                f"The CLIP {weights} has the text tower {str(tower)[:80]!r}, and nothing is fetched for it: put the "
                f"config.json and the tokenizer's files of {str(tower)[:80]} beside it, into {weights.parent}."
            )
        text.update(hf_model_name=str(weights.parent), hf_model_pretrained=False)
    return {**config, "vision_cfg": vision, "text_cfg": text}


def make_tokenizer(config: Mapping[str, Any], weights: Path) -> Any:
    """Return the tokenizer of a CLIP: CLIP's own, or what lies beside its weights; nothing is fetched.

    Args:
        config: as published.
        weights: the checkpoint.

    Raises:
        ModelError: it has another tokenizer than CLIP's, and its files do not lie there or are damaged.
    """
    text = config.get("text_cfg", {})
    context = text.get("context_length", _CONTEXT)
    named = text.get("hf_tokenizer_name") or text.get("hf_model_name")
    if not named:
        return open_clip.SimpleTokenizer(context_length=context)
    folder, title = weights.parent, str(named)[:80]
    if not has_vocabulary(folder):
        raise ModelError(
            f"The CLIP {weights} reads words with the tokenizer {title!r}, and nothing is fetched for it: put its "
            f"tokenizer.json and tokenizer_config.json beside it, into {folder}."
        )
    options = dict(text.get("tokenizer_kwargs") or {})
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise ModelError(
            f"The configuration of the CLIP {weights} gives its tokenizer the option {str(unknown[0])[:80]!r}, which "
            f"is not taken: correct its tokenizer_kwargs ({', '.join(_OPTIONS)})."
        )
    options["tokenizer_mode"] = text.get("tokenizer_mode")
    try:
        return open_clip.tokenizer.HFTokenizer(str(folder), context_length=context, local_files_only=True, **options)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError) as error:
        raise ModelError(
            f"The tokenizer {title!r} in {folder} cannot be loaded ({str(error).splitlines()[0][:160]}): put its "
            "tokenizer.json and tokenizer_config.json there."
        ) from error
