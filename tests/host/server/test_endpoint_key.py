from __future__ import annotations

import dataclasses
import threading

import pytest
from authentication import store_configuration
from qgis.core import QgsApplication

from rs_textseg_plugin.contract.errors import InputError
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.host.server.endpoint_key import KeyHolder, key_for, read_key

pytestmark = pytest.mark.usefixtures("qgis_app")


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("Basic", {"username": "anyone", "password": "sk-1234"}),
        ("Basic", {"password": " Bearer sk-1234 "}),
        ("EsriToken", {"token": "sk-1234"}),
        ("APIHeader", {"Authorization": "Bearer sk-1234", "X-Other": "x"}),
        ("APIHeader", {"api-key": "sk-1234"}),
    ],
)
def test_a_key_is_read_from_the_kinds_of_configuration_that_hold_one(method, values):
    assert read_key(store_configuration(method, **values)) == "sk-1234"


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("Basic", {"username": "anyone"}),
        ("APIHeader", {"X-One": "1", "X-Two": "2"}),
        ("OAuth2", {"oauth2config": "{}"}),
    ],
)
def test_a_configuration_without_a_key_is_told_by_its_name(method, values):
    with pytest.raises(InputError, match="'vlm server' holds no key: put the key into the password"):
        read_key(store_configuration(method, **values))


def test_an_unknown_configuration_is_told_by_its_id():
    with pytest.raises(InputError, match="'abc1234' cannot be read: unlock QGIS's authentication store"):
        read_key("abc1234")


def test_a_store_whose_password_nobody_types_is_told_in_words():
    configuration = store_configuration(password="sk-1234")
    QgsApplication.authManager().clearMasterPassword()
    with pytest.raises(InputError, match="unlock QGIS's authentication store with its master password"):
        read_key(configuration)


@pytest.mark.parametrize(
    ("parameters", "key"),
    [
        ({"base_url": "http://localhost:1/v1", "model": "m"}, "sk-1234"),
        ({"base_url": "http://localhost:1/v1", "model": "m", "clicks": "edited.geojson"}, ""),
        ({"vlm": "/models/qwen"}, ""),
    ],
)
def test_only_a_request_that_sends_pictures_gets_a_key(make_request, parameters, key):
    request = dataclasses.replace(make_request(), recipe=Recipe("vlm-sam", parameters=parameters))
    assert key_for(request, store_configuration(password="sk-1234")) == key


def test_without_a_configuration_there_is_no_key(make_request):
    recipe = Recipe("vlm-sam", parameters={"base_url": "http://localhost:1/v1", "model": "m"})
    assert key_for(dataclasses.replace(make_request(), recipe=recipe), "") == ""


def test_a_key_is_held_for_the_thread_that_runs_and_no_longer():
    keys, seen = KeyHolder(), []
    with keys.held("sk-1234"):
        other = threading.Thread(target=lambda: seen.append(keys()))
        other.start()
        other.join()
        seen.append(keys())
    seen.append(keys())
    assert seen == ["", "sk-1234", ""]


def test_a_key_is_forgotten_when_the_run_fails():
    keys = KeyHolder()
    with pytest.raises(RuntimeError), keys.held("sk-1234"):
        raise RuntimeError
    assert keys() == ""
