"""Which vision-language model is asked: what the user has chosen, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.pipelines.vlm_sam import VLM_FOLDER
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.contract.server.server_address import parse_address, shown_url
from rs_textseg_plugin.contract.tables.pipeline_info import PipelineInfo
from rs_textseg_plugin.gui.state.model_choices import folder_of
from rs_textseg_plugin.host import settings
from rs_textseg_plugin.host.translate import tr

ENDPOINT, FOLDER = "endpoint", "folder"
_PLAIN_NAMES = {"api-version"}  # in the query of an address; others may stand for a secret

# The parameters that have fields of their own; `clicks` is set by "Draw Again".
OWN_FIELDS = ("base_url", "model", "vlm", "adapter", "clicks")


@dataclass(frozen=True)
class VlmChoice:
    """A model behind an endpoint, or in a folder.

    Attributes:
        place: `ENDPOINT` or `FOLDER`.
        base_url, model: address of an OpenAI-compatible server, and the name of a model there.
        authcfg: id of a configuration in QGIS's authentication store that holds the key; empty: no key.
        folder: with a model; empty: the model set's own.
        adapter: folder with a LoRA adapter for it; empty: none.
    """

    place: str = ENDPOINT
    base_url: str = ""
    model: str = ""
    authcfg: str = ""
    folder: str = ""
    adapter: str = ""

    @property
    def parameters(self) -> dict[str, ParameterValue]:
        """The choice as parameters of a recipe."""
        if self.place == ENDPOINT:
            return {"base_url": self.base_url.strip(), "model": self.model.strip()}
        folders = {"vlm": self.folder.strip(), "adapter": self.adapter.strip()}
        return {name: folder for name, folder in folders.items() if folder}

    def problem(self, models: str) -> str:
        """Return why the choice cannot be used with a model set and what to do; empty: nothing speaks against it."""
        return self._problem_of_endpoint() if self.place == ENDPOINT else self._problem_of_folder(models)

    def _problem_of_endpoint(self) -> str:
        if not self.base_url.strip():
            return tr("Type the address of the server, for example http://localhost:8000/v1.")
        try:
            parse_address(self.base_url)
        except RecipeError as error:
            return str(error)
        return "" if self.model.strip() else tr("Type the name of a model on that server.")

    def _problem_of_folder(self, models: str) -> str:
        of_set = folder_of(models)
        if not self.folder.strip() and not (of_set and (of_set / VLM_FOLDER).is_dir()):
            return tr("Choose a folder with a Qwen-VL model.")
        for folder in filter(None, (self.folder.strip(), self.adapter.strip())):
            if not Path(folder).is_dir():
                return tr("There is no folder {!r}: choose another one.").format(folder)
        return ""


def asks_a_model(info: PipelineInfo) -> bool:
    """Whether a method asks a vision-language model."""
    return any(parameter.name == "base_url" for parameter in info.parameters)


def remembered_choice() -> VlmChoice:
    """Return the choice of the last session."""
    return VlmChoice(
        place=FOLDER if settings.LAST_VLM_PLACE.read() == FOLDER else ENDPOINT,
        base_url=settings.LAST_BASE_URL.read(),
        model=settings.LAST_SERVER_MODEL.read(),
        authcfg=settings.AUTH_CONFIGURATION.read(),
        folder=settings.LAST_VLM_FOLDER.read(),
        adapter=settings.LAST_ADAPTER.read(),
    )


def remember_choice(choice: VlmChoice) -> None:
    """Keep the choice for the next session: of a key only where it is, of an address nothing that may be secret."""
    settings.LAST_VLM_PLACE.write(choice.place)
    settings.LAST_BASE_URL.write(_without_secrets(choice.base_url))
    settings.LAST_SERVER_MODEL.write(choice.model)
    settings.AUTH_CONFIGURATION.write(choice.authcfg)
    settings.LAST_VLM_FOLDER.write(choice.folder)
    settings.LAST_ADAPTER.write(choice.adapter)


def _without_secrets(base_url: str) -> str:
    try:
        names = {name for name, _ in parse_address(base_url).query}
    except RecipeError:
        return shown_url(base_url)
    return base_url if names <= _PLAIN_NAMES else shown_url(base_url)
