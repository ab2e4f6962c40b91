"""LoRA tuning of a Qwen-VL on questions with their answers.

Source: Sosa et al. 2026, generative branch. As published: Qwen3-VL-2B, rank 32, three epochs, six clicks. Their alpha,
dropout, target modules, learning rate and batch are not known. Taken here, and why:

* alpha 64, twice the rank, and dropout 0.05: what most published recipes for models of this size have;
* the attention and MLP projections of the language model: where a place is said is learned there, while the vision
  tower stays as it was trained on far more pictures;
* AdamW with 1e-4, 16 questions a step, 3 % of the steps to warm up, half a cosine down: the same reason.

The loss is that of the answer's tokens alone. The model sees one question at a time, so that pictures of all sizes go
together without padding; gradients of several questions are summed up for a step. The base model stays as it is on
disk; the adapter is trained in float32 whatever the base is held in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rs_textseg_plugin.engine.vlm.model import ModelQuestion
from rs_textseg_plugin.engine.vlm.qwen.lora import import_peft
from rs_textseg_plugin.engine.vlm.qwen.qwen_vl import QwenVl
from training.loop import Training

NAME = "adapter"  # of the state and the log
RANK, EPOCHS = 32, 3.0
_ALPHA_TIMES, _DROPOUT = 2, 0.05
_TARGETS = r".*language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
_RATE = 1e-4
_WARM_UP = 0.03
_LOG_EVERY = 10
_IGNORED = -100  # the label of a token that costs nothing


@dataclass(frozen=True)
class Lesson:
    """A question with the answer that is wanted.

    Attributes:
        picture: ``(H, W, 3)`` uint8.
        asked: the question.
        answer: the words.
    """

    picture: NDArray[np.uint8]
    asked: ModelQuestion
    answer: str


@dataclass(frozen=True)
class Settings:
    """How it is tuned; see the top of this module.

    Attributes:
        epochs: how often every question comes up.
        rank: of the adapter.
        batch: questions in a step.
        rate: highest learning rate.
        saves_memory: whether activations are computed twice in place of being kept.
    """

    epochs: float = EPOCHS
    rank: int = RANK
    batch: int = 16
    rate: float = _RATE
    saves_memory: bool = False


class Adapter(nn.Module):
    """The weights of an adapter alone, as one module: what is trained and saved.

    Args:
        tuned: a ``PeftModel``; its weights that are trained are shared.
    """

    def __init__(self, tuned: nn.Module) -> None:
        super().__init__()
        trained = {name: value for name, value in tuned.named_parameters() if value.requires_grad}
        self.weights = nn.ParameterDict({name.replace(".", "/"): value for name, value in trained.items()})


class LoraTraining:
    """The tuning of a model.

    Args:
        model: an adapter is put onto it.
        count: of the questions.
        lesson: returns the question of a number; raises SceneError where its picture cannot be read.
        folder: for state and log.
        settings: how.
    """

    def __init__(
        self, model: QwenVl, count: int, lesson: Callable[[int], Lesson], folder: Path, settings: Settings
    ) -> None:
        torch.manual_seed(0)
        folder.mkdir(parents=True, exist_ok=True)
        self._model, self._count, self._lesson, self._settings = model, count, lesson, settings
        model.model = self.tuned = add_new_adapter(model.model, settings.rank)
        if settings.saves_memory:
            self.tuned.gradient_checkpointing_enable({"use_reentrant": False})
            self.tuned.enable_input_require_grads()
        steps = math.ceil(settings.epochs * count / settings.batch)
        warm_up = max(1, round(_WARM_UP * steps))
        self.training = Training(
            NAME, folder, Adapter(self.tuned), settings.rate, math.inf, (), _adamw, warm_up, most_steps=steps
        )

    def run(self) -> None:
        """Train to the end; the state is saved now and then, and at the end.

        Raises:
            SceneError: a picture cannot be read.
        """
        losses: list[float] = []
        self.tuned.train()
        for step in self.training.run():
            losses.append(self._step(step))
            if step % _LOG_EVERY == _LOG_EVERY - 1:
                losses = self._report(losses)
        self._report(losses)
        self.tuned.eval()

    def _step(self, step: int) -> float:
        """Go one step down; return the mean loss of its questions."""
        torch.manual_seed(step)  # for the dropout: a run that goes on takes the steps that it would have taken
        self.training.optimizer.zero_grad(set_to_none=True)
        numbers = lessons_of(step, self._settings.batch, self._count)
        total = 0.0
        for number in numbers:
            loss = self.loss(self._lesson(number))
            (loss / len(numbers)).backward()
            total += loss.item()
        self.training.follow_gradients()
        return total / len(numbers)

    def loss(self, lesson: Lesson) -> Tensor:
        """Return the mean cross entropy of the answer's tokens."""
        loss: Tensor = self.tuned(**encode(self._model, lesson), use_cache=False).loss
        return loss

    def _report(self, losses: Sequence[float]) -> list[float]:
        if losses:
            self.training.log(loss=round(float(np.mean(losses)), 5), epoch=round(self._epoch, 3))
        return []

    @property
    def _epoch(self) -> float:
        return self.training.steps * self._settings.batch / self._count

    def save_adapter(self, folder: Path) -> None:
        """Write the adapter as ``peft`` does, for `load_qwen_vl`; of the model's place only the folder's name."""
        self.tuned.peft_config["default"].base_model_name_or_path = self._model.name
        self.tuned.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / "README.md").write_text(self._card(), encoding="utf-8")  # peft's own has the path of the base model

    def _card(self) -> str:
        recipe = ", ".join(f"{name} {value}" for name, value in asdict(self._settings).items())
        return (
            f"# LoRA adapter for {self._model.name}\n\nTuned to answer phrases with the clicks that have SAM draw "
            f"what they mean, on {self._count} questions: {recipe}; {self.training.steps} steps.\n"
        )


def add_new_adapter(model: Any, rank: int) -> Any:
    """Return a model with an untrained adapter, which changes nothing yet; only the adapter is trained."""
    peft = import_peft()
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=_ALPHA_TIMES * rank,
        lora_dropout=_DROPOUT,
        target_modules=_TARGETS,
        task_type="CAUSAL_LM",
    )
    return peft.get_peft_model(model, config)


def encode(model: QwenVl, lesson: Lesson) -> Mapping[str, Tensor]:
    """Return what the model is fed to learn an answer: the question, the answer, the mark that ends it.

    The answer's tokens follow those of the question as they do when it is generated; ``labels`` hold only them.
    """
    inputs = dict(model.encode(lesson.picture, lesson.asked))
    tokens = model.processor.tokenizer(lesson.answer, add_special_tokens=False)["input_ids"]
    answer = torch.tensor([[*tokens, model.end_tokens[0]]], device=model.device)
    question = inputs["input_ids"]
    following = {"input_ids": answer, "attention_mask": torch.ones_like(answer)}
    for name, value in inputs.items():
        if value.shape == question.shape:
            inputs[name] = torch.cat([value, following.get(name, torch.zeros_like(answer))], dim=1)
    inputs["labels"] = torch.cat([torch.full_like(question, _IGNORED), answer], dim=1)
    return inputs


def lessons_of(step: int, batch: int, count: int) -> list[int]:
    """Return the questions of a step: in each epoch all of them, in an order of its own that a resumed run finds again.

    Args:
        step: number of the step, from 0.
        batch: questions in a step.
        count: of all questions.
    """
    return [int(_order(place // count, count)[place % count]) for place in range(step * batch, (step + 1) * batch)]


@lru_cache(maxsize=2)
def _order(epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([11, epoch]).permutation(count)


def _adamw(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
