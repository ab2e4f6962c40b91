from __future__ import annotations

import pytest
from qgis.core import QgsSettings

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.host.server.consent import consent, consented_addresses, is_among, take_back
from rs_textseg_plugin.host.settings import PREFIX

pytestmark = pytest.mark.usefixtures("qgis_app")


@pytest.fixture(autouse=True)
def nothing_remembered():
    QgsSettings().remove(PREFIX)
    yield
    QgsSettings().remove(PREFIX)


def has_consented(base_url):
    return is_among(base_url, consented_addresses())


def test_nobody_has_consented_to_anything_at_first():
    assert not has_consented("https://api.example.org/v1")


def test_consent_is_given_for_one_address_and_taken_back_for_it():
    consent("https://api.example.org/v1")
    consent("http://localhost:8000/v1")
    assert has_consented("https://api.example.org/v1")
    assert not has_consented("https://api.example.org/v2")
    assert not has_consented("https://example.org/v1")
    take_back("https://api.example.org/v1")
    assert not has_consented("https://api.example.org/v1")
    assert has_consented("http://localhost:8000/v1")


def test_blanks_and_a_slash_at_the_end_make_no_other_address():
    consent(" https://api.example.org/v1/ ")
    assert has_consented("https://api.example.org/v1")


def test_what_may_be_secret_in_an_address_is_not_remembered():
    consent("https://api.example.org/v1?api-version=1&code=sk-1234")
    values = [QgsSettings().value(key) for key in QgsSettings().allKeys() if key.startswith(PREFIX)]
    assert values == ["https://api.example.org/v1"]


def test_consent_to_no_address_is_refused():
    with pytest.raises(RecipeError, match="is no address of a web server"):
        consent("nonsense")
