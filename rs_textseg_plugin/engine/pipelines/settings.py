"""From the checked values of a method's table to its typed settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

from rs_textseg_plugin.contract.recipe import PipelineInfo, Values

SettingsT = TypeVar("SettingsT")


def make_settings(info: PipelineInfo, kind: type[SettingsT], values: Values) -> SettingsT:
    """Return a frozen dataclass whose fields are parameters of the table, by their names.

    A field that is a dataclass itself is made the same way, or by its ``from_values`` where its names differ. The field
    ``makes_instances`` is what the table says of these values. A field that is no parameter keeps its default.

    Args:
        info: the method's table.
        kind: the dataclass.
        values: of all parameters, checked.

    Raises:
        TypeError: a field without a default is no parameter of the table.
    """
    return _make(kind, {**values, "makes_instances": info.makes_instances(values)})


def _make(kind: type[SettingsT], values: Values) -> SettingsT:
    from_values: Callable[[Values], SettingsT] | None = getattr(kind, "from_values", None)
    if from_values:
        return from_values(values)
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if dataclasses.is_dataclass(hints[field.name]):
            given[field.name] = _make(hints[field.name], values)
        elif field.name in values:
            given[field.name] = values[field.name]
    return kind(**given)


def names_read(kind: type[Any]) -> set[str]:
    """Return the names of the parameters that the fields of a settings class stand for, those inside it too."""
    if hasattr(kind, "from_values"):
        names: set[str] = set(kind.parameter_names)
        return names
    hints = get_type_hints(kind)
    inner = {name for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    own = {field.name for field in dataclasses.fields(kind)} - inner - {"makes_instances"}
    return own.union(*(names_read(hints[name]) for name in inner))
