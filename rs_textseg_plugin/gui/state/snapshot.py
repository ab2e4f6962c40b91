"""Sets, folders and consents that the dock decides by, as they were when disk and settings were last read.

Widgets show themselves with every letter and every event of a run, and none of that may read a file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rs_textseg_plugin.gui.state.model_sets import ChosenModels, OfferedSet, find_models, find_sets
from rs_textseg_plugin.gui.state.query_state import QueryState
from rs_textseg_plugin.host.server.consent import consented_addresses


@dataclass(frozen=True)
class Snapshot:
    """Sets, folders and consents as they were found.

    Attributes:
        sets: the model sets there are.
        models: the chosen ones.
        missing_folders: which folders of the chosen vision-language model do not exist.
        consents: the addresses to which the user agreed that pictures may be sent.
    """

    sets: tuple[OfferedSet, ...]
    models: ChosenModels
    missing_folders: frozenset[str]
    consents: frozenset[str]

    @classmethod
    def take(cls, state: QueryState) -> Snapshot:
        """Look at everything."""
        return cls(find_sets(), find_models(state.models), _missing(state.vlm.folders), consented_addresses())

    def followed(self, before: QueryState, after: QueryState) -> Snapshot:
        """Look at what another choice names, and at nothing where it names the same."""
        models = self.models if after.models == before.models else find_models(after.models)
        is_same = after.vlm.folders == before.vlm.folders
        missing_folders = self.missing_folders if is_same else _missing(after.vlm.folders)
        return dataclasses.replace(self, models=models, missing_folders=missing_folders)


def _missing(folders: Iterable[str]) -> frozenset[str]:
    return frozenset(folder for folder in folders if not Path(folder).is_dir())
