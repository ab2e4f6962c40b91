"""From a pipeline's name to the loaded pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.grid import PixelGrid
from rs_textseg_plugin.contract.pipelines.vlm_sam import VLM_FOLDER
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.loading.files import ResolvedSet
from rs_textseg_plugin.engine.loading.model_cache import ModelShelf
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.detector import DetectorModel
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.models.upsampler import Upsampler
from rs_textseg_plugin.engine.pipelines.grounding_sam import GroundingSam
from rs_textseg_plugin.engine.pipelines.protocol import Pipeline
from rs_textseg_plugin.engine.pipelines.sam_clip import SamClip
from rs_textseg_plugin.engine.pipelines.segearth_ov import SegEarthOv
from rs_textseg_plugin.engine.pipelines.surgery_sam import SurgerySam
from rs_textseg_plugin.engine.pipelines.text2seg import Text2Seg
from rs_textseg_plugin.engine.pipelines.vlm_sam import Verifier, VlmSam
from rs_textseg_plugin.engine.vlm.clicks_file import read_clicks
from rs_textseg_plugin.engine.vlm.conversation import Asking
from rs_textseg_plugin.engine.vlm.endpoint.client import Endpoint
from rs_textseg_plugin.engine.vlm.model import Convention, VisionModel
from rs_textseg_plugin.engine.vlm.prompt import ClickPolicy


@dataclass(frozen=True)
class Question:
    """What a pipeline that answers phrases needs to know beside its classes.

    Attributes:
        phrase: as typed; empty for a class list.
        grid: the working grid, on which places in files are put.
        api_key: for an endpoint that wants one.
    """

    phrase: str
    grid: PixelGrid
    api_key: str = field(repr=False)


@dataclass(frozen=True)
class Order:
    """What a pipeline is made of; models come from the shelf, one copy of each."""

    shelf: ModelShelf
    models: ResolvedSet
    parameters: Mapping[str, ParameterValue]
    legend: Legend
    device: torch.device
    dtype: torch.dtype
    question: Question

    def sam(self) -> SamModel:
        """Return the set's SAM."""
        return self.shelf.sam(self.models.checkpoints["sam"], self.device, self.dtype)

    def clip(self) -> ClipModel:
        """Return the set's CLIP."""
        return self.shelf.clip(self.models.checkpoints["clip"], self.device, self.dtype)

    def upsampler(self) -> Upsampler | None:
        """Return the set's upsampler; None: it has none."""
        found = self.models.checkpoints.get("upsampler")
        return self.shelf.upsampler(found, self.device, self.dtype) if found else None

    def detector(self) -> DetectorModel | None:
        """Return the set's detector; None: it has none."""
        found = self.models.checkpoints.get("detector")
        return self.shelf.detector(found, self.device, self.dtype) if found else None


Loader = Callable[[Order], Pipeline[Any]]


def load_sam_clip(order: Order) -> Pipeline[Any]:
    """Load ``sam-clip``."""
    return SamClip(order.sam(), order.clip(), order.parameters, order.legend)


def load_segearth_ov(order: Order) -> Pipeline[Any]:
    """Load ``segearth-ov``, with the upsampler where the set has one."""
    return SegEarthOv(order.clip(), order.upsampler(), order.parameters, order.legend)


def load_grounding_sam(order: Order) -> Pipeline[Any]:
    """Load ``grounding-sam``."""
    detector = order.shelf.detector(order.models.checkpoints["detector"], order.device, order.dtype)
    return GroundingSam(order.sam(), detector, order.parameters, order.legend)


def load_surgery_sam(order: Order) -> Pipeline[Any]:
    """Load ``surgery-sam``."""
    return SurgerySam(order.sam(), order.clip(), order.parameters, order.legend)


def load_text2seg(order: Order) -> Pipeline[Any]:
    """Load ``text2seg``, with the detector where the set has one."""
    return Text2Seg(order.sam(), order.clip(), order.detector(), order.parameters, order.legend)


def load_vlm_sam(order: Order) -> Pipeline[Any]:
    """Load ``vlm-sam``: with clicks of a file, an endpoint or a model on this machine."""
    p: Mapping[str, Any] = order.parameters
    clicks = read_clicks(Path(p["clicks"]), order.question.grid) if p["clicks"] else []
    asking = None
    if not p["clicks"]:
        policy = ClickPolicy(p["inside_points"], p["outside_points"], p["most_objects"])
        asking = Asking(_vision_model(order), order.question.phrase, policy, p["self_test"])
    verifier = Verifier(order.clip(), order.legend, p["templates"], p["verify_threshold"]) if p["verify"] else None
    return VlmSam(order.sam(), asking, clicks, verifier, order.parameters, order.legend)


def _vision_model(order: Order) -> VisionModel:
    p: Mapping[str, Any] = order.parameters
    convention = None if p["convention"] == "auto" else Convention(p["convention"])
    if p["base_url"]:
        return Endpoint(
            p["base_url"],
            p["model"],
            order.question.api_key,
            timeout_s=p["timeout_s"],
            tries=p["tries"],
            convention=convention,
            max_tokens=p["max_tokens"],
        )
    beside_sam = order.models.checkpoints["sam"].path.parent / VLM_FOLDER
    if p["vlm"] or beside_sam.is_dir():
        folder, adapter = Path(p["vlm"] or beside_sam), Path(p["adapter"]) if p["adapter"] else None
        model = order.shelf.vlm(folder, adapter, order.device, order.dtype)
        model.configure(p["max_tokens"], convention)
        return model
    raise RecipeError(
        "The pipeline vlm-sam needs a vision-language model: name the folder of one (--param vlm=FOLDER), a server and "
        "a model on it (--param base_url=URL model=NAME), or a file with clicks (--param clicks=FILE)."
    )


LOADERS: Mapping[str, Loader] = {
    "sam-clip": load_sam_clip,
    "segearth-ov": load_segearth_ov,
    "grounding-sam": load_grounding_sam,
    "surgery-sam": load_surgery_sam,
    "text2seg": load_text2seg,
    "vlm-sam": load_vlm_sam,
}
