"""A method as the user meets it: its names, the models it needs, what it can do, its parameters and its presets.

What a method can do is a field here, and never guessed from the name of a parameter.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Callable

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.tables.parameter import Parameter, ParameterValue, Values

CLASSES, PHRASE = "classes", "phrase"  # what a method takes

Check = Callable[[Values], None]  # raises RecipeError where values fit their parameters and not each other
Choice = Callable[[Values], bool]


def _never(_: Values) -> bool:
    return False


@dataclass(frozen=True)
class Preset:
    """Parameters that belong together.

    Attributes:
        about: what they are, in a few words.
        values: all parameters but those that follow the models (`Parameter.follows_models`) and permissions. Values
            equal to our defaults are there too: a preset is sealed, so neither a model set nor a later default changes
            it (docs/decisions/0016-presets-are-sealed.md).
    """

    about: str
    values: Values


@dataclass(frozen=True)
class PipelineInfo:
    """A method as the user meets it.

    Attributes:
        name: its public name.
        title: how the dock calls it.
        summary: one sentence.
        source: the paper.
        roles: the kinds of model it needs (``sam``, ``clip``, ...).
        takes: `CLASSES` or `PHRASE`.
        parameters: what can be set.
        position: where lists have it, smallest first; the first one is the default method.
        optional_roles: the kinds of model that it uses where a set has them, and what a result made without says, if
            anything.
        presets: by their names.
        answers_phrases: whether a class list may also come from a referring phrase, see `contract.text.phrase`.
        asks_model: whether it asks a vision-language model, whose answer can be kept and drawn again.
        may_send_pictures: whether it can send pictures to a server; its parameters ``base_url`` and ``clicks`` say
            whether it does.
        looks_at_whole_views: whether it can see the extent as one picture; its parameters ``view`` and ``view_px`` say
            when.
        remark_field: name of the field (at most 10 characters) for what the method says of an object beside its class;
            empty: it says nothing, and the result has no such field.
        makes_instances: whether objects of one class stay apart where they touch, from the values of all parameters.
        makes_heat: whether the result is a map of scores without objects, from the values of all parameters.
        checks: its own cross-checks, over the values of all parameters.
    """

    name: str
    title: str
    summary: str
    source: str
    roles: tuple[str, ...]
    takes: str
    parameters: tuple[Parameter, ...]
    position: int = 100
    optional_roles: Mapping[str, str] = field(default_factory=dict)
    presets: Mapping[str, Preset] = field(default_factory=dict)
    answers_phrases: bool = False
    asks_model: bool = False
    may_send_pictures: bool = False
    looks_at_whole_views: bool = False
    remark_field: str = ""
    makes_instances: Choice = _never
    makes_heat: Choice = _never
    checks: tuple[Check, ...] = ()

    @property
    def question_kinds(self) -> tuple[str, ...]:
        """What can be asked: `CLASSES`, `PHRASE` or both, the usual one first."""
        return (CLASSES, PHRASE) if self.answers_phrases else (self.takes,)

    def read_parameters(self, given: Values) -> dict[str, ParameterValue]:
        """Return all parameters: the given ones checked, the others at their defaults.

        Raises:
            RecipeError: an unknown name, or a value that does not fit.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known) or sorted(known)[:3]
                raise RecipeError(
                    f"The pipeline {self.name} has no parameter {name!r}: did you mean {' or '.join(near)}? "
                    "'segment --help' lists all of them."
                )
        return {name: parameter.read(given.get(name)) for name, parameter in known.items()}

    def check_together(self, values: Values) -> None:
        """Refuse values that fit their own parameter and not each other.

        Raises:
            RecipeError: two of them contradict each other.
        """
        for check in self.checks:
            check(values)

    def own(self, values: Values, beside_preset: bool = False) -> dict[str, ParameterValue]:
        """Return those values of a model set that are for this pipeline: a set may hold some for several.

        Permissions are left out: only a user gives them.

        Args:
            values: of the model set.
            beside_preset: whether a preset is chosen, beside which few of them count.
        """
        names = {p.name for p in self.parameters if not p.is_users_own and (p.follows_models or not beside_preset)}
        return {name: value for name, value in values.items() if name in names}

    def image_side(self, values: Values) -> tuple[tuple[str, ParameterValue], ...]:
        """Return the values that an observation depends on, with their names; the text side's are left out."""
        return tuple((p.name, values[p.name]) for p in self.parameters if not p.is_text_side)

    def pictures_go_to(self, values: Values) -> str:
        """Return the address that pictures are sent to; empty: none is sent. Not all of the parameters are needed."""
        if not self.may_send_pictures or str(values.get("clicks") or "").strip():
            return ""
        return str(values.get("base_url") or "").strip()
