"""A knob of a pipeline: its name, its default with its source, and what values it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional, Union

from rs_textseg_plugin.contract.errors import RecipeError

ParameterValue = Union[int, float, str, bool, None]
Values = Mapping[str, ParameterValue]  # of parameters, by their names

_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Parameter:
    """One knob: its type is the type of its default, or `kind` where the default is None (decided by the engine).

    Attributes:
        name: as on the command line (``--param name=value``).
        default: the value when nothing is said.
        kind: ``int``, ``float``, ``str`` or ``bool``.
        minimum, maximum: inclusive bounds for numbers.
        choices: the only values allowed; empty: any. Where ``true`` is one, a text is read as a truth value too.
        help: one sentence, with the unit.
        source: where the default comes from.
        is_text_side: whether only what comes after the text reads it, so that what was observed of a tile stays valid
            when it changes.
        is_users_own: whether it is a permission: what a model set says of it counts for nothing.
        follows_models: whether a model set's value holds beside a preset too: a size that its architecture fixes, a
            batch, or which model answers and how it is reached. All else of a set is passed over beside a preset.
    """

    name: str
    default: ParameterValue
    kind: str
    help: str
    source: str
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: tuple[str, ...] = ()
    is_text_side: bool = False
    is_users_own: bool = False
    follows_models: bool = False

    def read(self, value: ParameterValue) -> ParameterValue:
        """Return `value` in this parameter's type.

        Raises:
            RecipeError: it cannot be read so, or is out of bounds.
        """
        if value is None or (value == "auto" and self.default is None):
            return self.default
        try:
            typed = self._convert(value)
        except ValueError:
            raise RecipeError(f"The parameter {self.name}={value!r} is not understood: {self._wanted()}.") from None
        outside = isinstance(typed, (int, float)) and (
            (self.minimum is not None and typed < self.minimum) or (self.maximum is not None and typed > self.maximum)
        )
        if outside or (self.choices and typed not in self.choices):
            raise RecipeError(f"The parameter {self.name}={value!r} is out of its range: {self._wanted()}.")
        return typed

    def _convert(self, value: ParameterValue) -> ParameterValue:
        if self.kind == "bool":
            if str(value).lower() not in _TRUTHS:
                raise ValueError(value)
            return _TRUTHS[str(value).lower()]
        if self.kind == "str":
            truth = _TRUTHS.get(str(value).lower()) if "true" in self.choices else None
            return str(value) if truth is None else str(truth).lower()
        number = float(str(value))
        if not math.isfinite(number) or (self.kind == "int" and number != int(number)):
            raise ValueError(value)
        return int(number) if self.kind == "int" else number

    def _wanted(self) -> str:
        if self.choices:
            return f"choose one of {', '.join(self.choices)}"
        if self.kind == "bool":
            return "write true or false"
        bounds = ""
        if self.minimum is not None and self.maximum is not None:
            bounds = f" from {self.minimum:g} to {self.maximum:g}"
        elif self.minimum is not None:
            bounds = f" of at least {self.minimum:g}"
        noun = {"int": "a whole number", "float": "a number"}.get(self.kind, "a text")
        return f"write {noun}{bounds}"
