"""The question before pictures are sent anywhere."""

from __future__ import annotations

from urllib.parse import urlsplit

from qgis.PyQt.QtWidgets import QMessageBox, QWidget

from rs_textseg_plugin.contract.server.server_address import can_be_overheard
from rs_textseg_plugin.gui.state.query_state import Sending
from rs_textseg_plugin.host.translate import tr

_OVERHEARD = (
    "The address begins with http://, so others on the way can read all of it: take https:// if the server has it."
)


def user_consents(sending: Sending, parent: QWidget | None = None) -> bool:
    """Ask whether pictures may be sent; the answer is no unless the user says yes."""
    box = QMessageBox(QMessageBox.Icon.Question, tr("Send Pictures?"), _what(sending), parent=parent)
    box.setObjectName("consentQuestion")
    box.setInformativeText(_more(sending))
    box.setStandardButtons(QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No)
    box.setDefaultButton(QMessageBox.StandardButton.No)
    box.exec()
    return bool(box.standardButton(box.clickedButton()) == QMessageBox.StandardButton.Yes)


def _what(sending: Sending) -> str:
    host = urlsplit(sending.base_url).netloc
    if sending.is_this_machine:
        return tr("Pictures of the raster will be sent to a server on this computer, {}.").format(host)
    return tr("Pictures of the raster will leave this computer and be sent to {}.").format(host)


def _more(sending: Sending) -> str:
    how_many = {None: tr("Their number is not known yet."), 1: tr("It is one picture for this run.")}.get(
        sending.views, tr("They are about {} for this run.").format(sending.views)
    )
    lines = [
        tr("Address: {}").format(sending.base_url),
        how_many,
        tr("A drawn picture without your data may be sent before them, to learn how the model gives places."),
        tr("The question is sent with them, and the key if one is chosen."),
        *([tr(_OVERHEARD)] if can_be_overheard(sending.base_url) else []),
        tr("Yes is remembered for this address and can be taken back in the panel. Send them?"),
    ]
    return "\n".join(lines)
