"""Commands of the engine that the user types in a terminal, ready to be copied."""

from __future__ import annotations

from rs_textseg_plugin.contract.errors import EngineUnavailable
from rs_textseg_plugin.contract.folders import PACKAGE_FOLDER
from rs_textseg_plugin.host.translate import tr
from rs_textseg_plugin.runtime.environment import find_interpreter


def how_to_fetch(models: str) -> str:
    """Return the commands that fetch a model set, with words; without an engine, those that install it."""
    try:
        interpreter = find_interpreter()
    except EngineUnavailable as error:
        return str(error)
    return (
        tr("The model set {} is not on this computer. Fetch it with these commands in a terminal:").format(models)
        + f'\ncd "{PACKAGE_FOLDER.parent}"\n"{interpreter}" -m rs_textseg_plugin.engine models fetch {models}'
    )
