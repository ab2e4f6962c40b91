"""Which vision-language model is asked: what the user has chosen, and what speaks against it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.recipe import ParameterValue
from rs_textseg_plugin.contract.server.server_address import parse_address, shown_url
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

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that are named, without blanks around them."""
        return tuple(folder for folder in (self.folder.strip(), self.adapter.strip()) if folder)

    def problem(self, has_vlm: bool, missing_folders: Collection[str]) -> str:
        """Return a sentence on why the choice cannot be used and what to do; empty: it can be.

        Args:
            has_vlm: whether the model set holds a model.
            missing_folders: those of `folders` that do not exist.
        """
        if self.place == ENDPOINT:
            return self._problem_of_endpoint()
        if not self.folder.strip() and not has_vlm:
            return tr("Choose a folder with a Qwen-VL model.")
        missing = next((folder for folder in self.folders if folder in missing_folders), "")
        return tr("There is no folder {!r}: choose another one.").format(missing) if missing else ""

    def _problem_of_endpoint(self) -> str:
        if not self.base_url.strip():
            return tr("Type the address of the server, for example http://localhost:8000/v1.")
        try:
            parse_address(self.base_url)
        except RecipeError as error:
            return str(error)
        return "" if self.model.strip() else tr("Type the name of a model on that server.")


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
