"""What a method is made of, for one query."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rs_textseg_plugin.contract.grid import PixelGrid
from rs_textseg_plugin.contract.recipe import PipelineInfo, Values
from rs_textseg_plugin.engine.answers.legend import Legend
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.loading.files import ResolvedSet
from rs_textseg_plugin.engine.loading.model_cache import ModelCache
from rs_textseg_plugin.engine.models.clip import ClipModel
from rs_textseg_plugin.engine.models.detector import DetectorModel
from rs_textseg_plugin.engine.models.sam import SamModel
from rs_textseg_plugin.engine.models.upsampler import Upsampler
from rs_textseg_plugin.engine.pipelines.settings import make_settings
from rs_textseg_plugin.engine.vlm.qwen.qwen_vl import QwenVl

SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True)
class PhraseContext:
    """What a method that answers phrases needs to know beside its classes.

    Attributes:
        phrase: as typed; empty for a class list.
        grid: the working grid, on which places in files are put.
        api_key: for an endpoint that wants one.
    """

    phrase: str
    grid: PixelGrid
    api_key: str = field(repr=False)


@dataclass(frozen=True)
class PipelineInputs:
    """What the function ``load`` of a method gets.

    Attributes:
        info: the method's table.
        values: of all its parameters, checked.
        legend: the competing classes.
        models: the checkpoints, one for each role.
        model_cache: holds loaded models, one copy of each.
        control: of the run; models go to its device.
        context: the phrase and what goes with it.
    """

    info: PipelineInfo
    values: Values
    legend: Legend
    models: ResolvedSet
    model_cache: ModelCache
    control: RunControl
    context: PhraseContext

    def settings(self, kind: type[SettingsT]) -> SettingsT:
        """Return the method's typed settings; see `make_settings`."""
        return make_settings(self.info, kind, self.values)

    def sam(self) -> SamModel:
        """Return the set's SAM, on the run's device."""
        model: SamModel = self._model("sam")
        return model

    def clip(self) -> ClipModel:
        """Return the set's CLIP, on the run's device."""
        model: ClipModel = self._model("clip")
        return model

    def upsampler(self) -> Upsampler | None:
        """Return the set's upsampler, on the run's device; None: it has none."""
        model: Upsampler | None = self._model("upsampler") if "upsampler" in self.models.checkpoints else None
        return model

    def detector(self) -> DetectorModel | None:
        """Return the set's detector, on the run's device; None: it has none."""
        model: DetectorModel | None = self._model("detector") if "detector" in self.models.checkpoints else None
        return model

    def required_detector(self) -> DetectorModel:
        """Return the detector of a set that has one, on the run's device."""
        model: DetectorModel = self._model("detector")
        return model

    def vlm(self, folder: Path, adapter: Path | None) -> QwenVl:
        """Return the vision-language model in a folder, with an adapter or without, on the run's device."""
        return self.model_cache.get_vlm(folder, adapter, self.control.device, self.control.dtype)

    def _model(self, role: str) -> Any:
        return self.model_cache.get(self.models.checkpoints[role], self.control.device, self.control.dtype)
