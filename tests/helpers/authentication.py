"""A configuration in QGIS's authentication store; tests/plugins/offscreen.py gives the tests one of their own."""

from __future__ import annotations

from qgis.core import QgsApplication, QgsAuthMethodConfig


def store_configuration(method: str = "Basic", name: str = "vlm server", **values: str) -> str:
    """Store a configuration, with the store unlocked; return its id."""
    manager = QgsApplication.authManager()
    assert manager.setMasterPassword("the tests' master password", True)
    configuration = QgsAuthMethodConfig(method)
    configuration.setName(name)
    for key, value in values.items():
        configuration.setConfig(key, value)
    is_stored, configuration = manager.storeAuthenticationConfig(configuration)
    assert is_stored
    return str(configuration.id())
