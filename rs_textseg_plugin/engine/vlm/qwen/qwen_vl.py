"""Qwen2.5-VL and Qwen3-VL through transformers: shown a picture, they answer in words; from a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rs_textseg_plugin.contract.errors import EngineError, ModelError
from rs_textseg_plugin.engine.compute.device import is_memory_error
from rs_textseg_plugin.engine.compute.run_control import RunControl
from rs_textseg_plugin.engine.models.checkpoint import peek_keys_and_shapes
from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision
from rs_textseg_plugin.engine.vlm.model import Convention, Decider, ModelQuestion, Reply
from rs_textseg_plugin.engine.vlm.qwen.lora import add_adapter
from rs_textseg_plugin.engine.vlm.qwen.qwen_folder import QwenFamily, family_of, weight_files
from rs_textseg_plugin.engine.vlm.qwen.speed import LinearSpeed, measure

ensure_torchvision()

import transformers  # noqa: E402 (its image processor imports torchvision)
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize  # noqa: E402

MOST_TOKENS = 4096  # of an answer, unless said otherwise
_PROMPT_TOKENS = 300  # about what the task and a question take beside the picture
_CANNOT_BE_READ = (
    OSError, ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError, ImportError,
)  # fmt: skip
_BESIDE = "preprocessor_config.json or processor_config.json, and tokenizer.json"
_TOKENIZERS = ("tokenizer.json", "vocab.json")  # without either, transformers makes an empty one


class QwenVl:
    """A loaded model on its device; a `rs_textseg_plugin.engine.vlm.model.VisionModel`.

    Answers are greedy: the same question about the same picture gets the same answer. The sampling that a folder's
    generation_config.json asks for is left out, its penalty for repeated tokens too, which would count against the
    brackets and digits that a list of places repeats.

    Args:
        model: ``Qwen2_5_VLForConditionalGeneration`` or ``Qwen3VLForConditionalGeneration``, or a ``PeftModel`` of one.
        processor: of the same family.
        name: for messages and provenance.
        convention: what its numbers mean.

    Attributes:
        most_tokens: longest answer.
    """

    def __init__(self, model: Any, processor: Any, name: str, convention: Convention) -> None:
        self.model, self.processor = model.eval(), processor
        self._name, self._convention, self._usual_convention = name, convention, convention
        self._decider = Decider.FAMILY
        self._speed: LinearSpeed | None = None
        self.most_tokens = MOST_TOKENS

    @property
    def name(self) -> str:
        """The folder's name, with the adapter's after a plus."""
        return self._name

    @property
    def convention(self) -> Convention:
        """Qwen2.5-VL counts pixels of the picture as it saw it, Qwen3-VL thousandths of its sides."""
        return self._convention

    @property
    def decider(self) -> Decider:
        """The family, unless the user said otherwise."""
        return self._decider

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What its weights are held and computed in."""
        kept: torch.dtype = self.model.dtype
        return kept

    def configure(self, most_tokens: int, convention: Convention | None) -> None:
        """Set the longest answer and what the numbers mean; None: as usual for the family."""
        self.most_tokens, self._convention = most_tokens, convention or self._usual_convention
        self._decider = Decider.USER if convention else Decider.FAMILY

    @property
    def way(self) -> str:
        """It runs here."""
        return "stay on this machine"

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing is given up on the way to it."""
        return ()

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to another device and precision; the weights themselves are rounded to it."""
        if (device, dtype) != (self.device, self.dtype):
            self._speed = None
            self.model.to(device, dtype)

    def tokens_of(self, width_px: int, height_px: int) -> int:
        """Return how many tokens a picture of that size costs.

        Raises:
            EngineError: see `ask`.
        """
        return self._patches_of(width_px, height_px) // int(self.processor.image_processor.merge_size) ** 2

    def shown_size(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Return width and height at which a picture of that size is seen: near its own, whole cells of patches.

        By the rule and the limits of the model's own image processor, which reads no pixel for it.

        Raises:
            EngineError: see `ask`.
        """
        images = self.processor.image_processor
        limits = {"min_pixels": images.size["shortest_edge"], "max_pixels": images.size["longest_edge"]}
        with _explained_shape(width_px, height_px):
            height, width = smart_resize(height_px, width_px, factor=images.patch_size * images.merge_size, **limits)
        return int(width), int(height)

    def _patches_of(self, width_px: int, height_px: int) -> int:
        with _explained_shape(width_px, height_px):
            return int(self.processor.image_processor.get_number_of_image_patches(height_px, width_px))

    def estimate_s(self, width_px: int, height_px: int, new_tokens: int) -> float:
        """Return about how many seconds an answer takes on this device.

        The time of the products with the weights alone, told from one layer of this model: a lower limit, usually
        within a factor of two on a CPU. The first call measures for a moment.

        Args:
            width_px: of the picture.
            height_px: of the picture.
            new_tokens: of the answer.
        """
        patches = self._patches_of(width_px, height_px)
        tokens = patches // int(self.processor.image_processor.merge_size) ** 2 + _PROMPT_TOKENS
        if self._speed is None:
            self._speed = measure(_layers(self.model)[0], self.device)
        seen, read = _linear_size(_part(self.model, "visual")), _linear_size(_part(self.model, "language_model"))
        head = _linear_size(self.model.get_output_embeddings())
        shown_s = self._speed.many_s * (seen * patches + read * tokens)
        return shown_s + self._speed.single_s * (read + head) * new_tokens

    @torch.inference_mode()
    def ask(self, picture: NDArray[np.uint8], asked: ModelQuestion, control: RunControl) -> Reply:
        """Show a picture ``(H, W, 3)`` uint8 and ask; the schema is not enforced.

        Raises:
            Cancelled: the user has given up, which is looked for before every product with weights.
            EngineError: the picture is more than 200 times as long as wide.
        """
        with _explained_shape(picture.shape[1], picture.shape[0]):
            inputs = self.encode(picture, asked)
        with _stopping(self.model, control):
            ids = self.model.generate(**inputs, max_new_tokens=self.most_tokens)
        shown = inputs["input_ids"].shape[1]
        answer: list[int] = ids[0, shown:].tolist()
        return Reply(
            self.processor.tokenizer.decode(answer, skip_special_tokens=True),
            self._shown_px(inputs["image_grid_thw"]),
            tokens_in=shown,
            tokens_out=len(answer),
            is_truncated=len(answer) >= self.most_tokens and answer[-1] not in self.end_tokens,
        )

    def encode(self, picture: NDArray[np.uint8], asked: ModelQuestion) -> Any:
        """Return the model's inputs for a picture ``(H, W, 3)`` uint8, up to where its answer begins.

        It is a batch of one, on the device.

        Raises:
            ValueError: the picture is more than 200 times as long as wide.
        """
        text = _conversation(self.processor, asked)
        # The layout is said, since for pictures of 1 or 3 rows it would be guessed.
        layout = {"input_data_format": "channels_last", "return_tensors": "pt"}
        inputs = self.processor(text=[text], images=[picture], **layout).to(self.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(self.dtype)
        return inputs

    @property
    def end_tokens(self) -> list[int]:
        """Tokens that end an answer; the first is the mark at the end of a message."""
        ends: list[int] = self.model.generation_config.eos_token_id
        return ends

    def _shown_px(self, grid_thw: torch.Tensor) -> tuple[int, int]:
        patch_px = int(self.processor.image_processor.patch_size)
        return int(grid_thw[0, 2]) * patch_px, int(grid_thw[0, 1]) * patch_px


def load_qwen_vl(folder: Path, adapter: Path | None, device: torch.device, dtype: torch.dtype) -> QwenVl:
    """Load a model from its folder; nothing is fetched, and no code of the folder is run.

    Args:
        folder: Hugging Face layout, weights as .safetensors.
        adapter: folder with a LoRA adapter as ``peft`` saves it; it stays beside the weights, so that both keep their
            precision.
        device: where it will run.
        dtype: what weights are held and computed in.

    Raises:
        ModelError: no Qwen2.5-VL or Qwen3-VL, a file is missing or damaged, or the adapter is of another model.
    """
    family = family_of(folder)
    for path in weight_files(folder, None):
        peek_keys_and_shapes(path)  # a file that is cut off is found before gigabytes are read
    quiet: Any = transformers.utils.logging
    quiet.disable_progress_bar()  # it would fill the log of the worker
    with _explained(folder, family):
        if not any((folder / name).is_file() for name in _TOKENIZERS):
            raise FileNotFoundError("there is no tokenizer.json")
        processor = getattr(transformers, family.processor).from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        _require_template(processor, folder)
        model = _load_model(folder, family, device, dtype)
    _require_same_marks(processor, model, folder)
    _be_greedy(model, processor.tokenizer.eos_token_id)
    name = folder.resolve().name
    if adapter is not None:
        model, name = add_adapter(model, adapter), f"{name}+{adapter.resolve().name}"
    return QwenVl(model, processor, name, family.convention)


@contextmanager
def _explained(folder: Path, family: QwenFamily) -> Iterator[None]:
    """Turn what goes wrong while a folder is read into words."""
    try:
        yield
    except _CANNOT_BE_READ as error:
        if is_memory_error(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(
            f"The {family.title} in {folder} cannot be loaded ({reason}): beside its weights the folder needs "
            f"config.json, {_BESIDE} of the same model."
        ) from error


def _load_model(folder: Path, family: QwenFamily, device: torch.device, dtype: torch.dtype) -> Any:
    model, report = getattr(transformers, family.model).from_pretrained(
        str(folder),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        dtype=dtype,
        device_map={"": device},  # each weight goes there at once, so that there is no second copy of the model
    )
    lacking = [*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])]
    if lacking:  # transformers would go on with random values
        raise ModelError(
            f"The weights in {folder} lack {len(lacking)} that config.json asks for, such as {sorted(lacking)[0]}: "
            "take all files from the same model."
        )
    return model


def _require_template(processor: Any, folder: Path) -> None:
    """Check that there is a chat template, and that it can show a picture."""
    if not processor.chat_template:
        raise ModelError(
            f"The folder {folder} has no chat template, without which the model cannot be asked: fetch its "
            "chat_template.jinja or chat_template.json too."
        )
    try:
        shown = _conversation(processor, ModelQuestion("task", "question", {}))
        problem = "" if processor.image_token in shown else "it leaves out the picture"
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        problem = str(error)
    if problem:
        raise ModelError(f"The chat template in {folder} cannot be used ({problem}): fetch that of the same model.")


def _conversation(processor: Any, asked: ModelQuestion) -> str:
    """Return a picture and a question as the model reads them, up to where its answer begins."""
    messages = [
        {"role": "system", "content": [{"type": "text", "text": _plain(asked.system)}]},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": _plain(asked.question)}]},
    ]
    text: str = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def _require_same_marks(processor: Any, model: Any, folder: Path) -> None:
    """Check that tokenizer and model mean the same by the mark of a picture."""
    if processor.image_token_id != model.config.image_token_id:
        raise ModelError(
            f"The tokenizer in {folder} is of another model (it has token {processor.image_token_id} for a picture, "
            f"config.json {model.config.image_token_id}): take all files from the same model."
        )


def _be_greedy(model: Any, end_token: int) -> None:
    """Leave of a folder's generation_config.json only which tokens end an answer."""
    end_ids = model.generation_config.eos_token_id
    others = end_ids if isinstance(end_ids, list) else [end_ids]
    ends = list(dict.fromkeys([end_token, *(token for token in others if token is not None)]))
    config: Any = transformers.GenerationConfig
    model.generation_config = config(do_sample=False, eos_token_id=ends, pad_token_id=ends[0])


@contextmanager
def _explained_shape(width_px: int, height_px: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise EngineError(
            f"The model cannot be shown a picture of {width_px} x {height_px} pixels ({error}): choose another area."
        ) from error


@contextmanager
def _stopping(model: nn.Module, control: RunControl) -> Iterator[None]:
    """Ask before every product with weights: before the first token, a large picture on a CPU takes minutes."""

    def stop_if_asked(module: nn.Module, inputs: object) -> None:
        control.check()

    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    handles = [module.register_forward_pre_hook(stop_if_asked) for module in linear]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _plain(text: str) -> str:
    """Keep the model's marks for messages and pictures out of a text."""
    return text.replace("<|", "< |")


def _part(model: nn.Module, name: str) -> nn.Module:
    return next(module for path, module in model.named_modules() if path.split(".")[-1] == name)


def _layers(model: nn.Module) -> list[nn.Module]:
    return list(_part(_part(model, "language_model"), "layers").children())


def _linear_size(part: nn.Module) -> int:
    """Return how many weights an input of one row is multiplied with."""
    return sum(module.weight.numel() for module in part.modules() if isinstance(module, nn.Linear))
