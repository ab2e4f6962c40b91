"""A method as the user meets it: its names, the models it needs, and its parameters."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.tables.parameter import Parameter, ParameterValue


@dataclass(frozen=True)
class PipelineInfo:
    """A method as the user meets it.

    Attributes:
        name: its public name.
        title: how the dock calls it.
        summary: one sentence.
        source: the paper.
        roles: the kinds of model it needs (``sam``, ``clip``, ...).
        takes: ``classes`` or ``phrase``.
        parameters: what can be set.
        optional_roles: the kinds of model that it uses where a set has them, and what a result made without says, if
            anything.
        remark_field: name of the field (at most 10 characters) for what the method says of an object beside its class;
            empty: it says nothing, and the result has no such field.
        answers_phrases: whether a class list may also come from a referring phrase, see `contract.text.phrase`.
    """

    name: str
    title: str
    summary: str
    source: str
    roles: tuple[str, ...]
    takes: str
    parameters: tuple[Parameter, ...]
    optional_roles: Mapping[str, str] = field(default_factory=dict)
    answers_phrases: bool = False
    remark_field: str = ""

    def read_parameters(self, given: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
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

    def own(self, values: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
        """Return those values that are parameters of this pipeline; a model set may hold values for several."""
        names = {parameter.name for parameter in self.parameters}
        return {name: value for name, value in values.items() if name in names}
