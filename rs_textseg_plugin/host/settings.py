"""What the plugin remembers from one session to the next: one declaration for each value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from qgis.core import QgsSettings

from rs_textseg_plugin.contract.recipe import Recipe

PREFIX = "rs_textseg/"
T = TypeVar("T", str, bool)


@dataclass(frozen=True)
class Setting(Generic[T]):
    """A remembered value: its key below `PREFIX`, and what it is while nothing was remembered."""

    key: str
    default: T

    def read(self) -> T:
        """Return the remembered value."""
        value: T = QgsSettings().value(PREFIX + self.key, self.default, type=type(self.default))
        return value

    def write(self, value: T) -> None:
        """Remember a value."""
        QgsSettings().setValue(PREFIX + self.key, value)


LAST_TEXT = Setting("text", "")
LAST_WORD_LIST = Setting("word_list", "")
LAST_PHRASE = Setting("phrase", "")
LAST_QUESTION_KIND = Setting("asks", "classes")
LAST_PIPELINE = Setting("pipeline", Recipe().pipeline)
LAST_MODELS = Setting("models", Recipe().models)
LAST_RASTERS = Setting("rasters", "")
LAST_EXTENT_CHOICE = Setting("extent", "layer")
LAST_DEVICE = Setting("device", Recipe().device)
LAST_VLM_PLACE = Setting("vlm/place", "endpoint")
LAST_VLM_FOLDER = Setting("vlm/folder", "")
LAST_ADAPTER = Setting("vlm/adapter", "")
LAST_BASE_URL = Setting("vlm/base_url", "")
LAST_SERVER_MODEL = Setting("vlm/model", "")
AUTH_CONFIGURATION = Setting("vlm/authcfg", "")  # the id in QGIS's authentication store, never the key
CONSENTS = Setting("vlm/consents", "")  # addresses to which pictures may be sent, one a line
DOCK_IS_OPEN = Setting("dock_is_open", False)
