from __future__ import annotations

import json
from dataclasses import replace

from rs_textseg_plugin.contract.query import parse_phrase
from rs_textseg_plugin.contract.recipe import Recipe
from rs_textseg_plugin.contract.request import Output, Request, without_queries
from rs_textseg_plugin.contract.scene import Scene

URL = "https://api.example.org/v1"
SECRET = f"{URL}?api-version=1&code=sk-secret"


def asking(base_url: str) -> Request:
    recipe = Recipe("vlm-sam", parameters={"base_url": base_url, "model": "gpt-5"})
    return Request(Scene("scene.tif"), parse_phrase("a roof"), recipe, Output("r.gpkg"), base_url)


def test_what_is_kept_of_a_request_is_all_of_it_where_nothing_may_be_secret():
    for request in (asking(URL), replace(asking(URL), recipe=Recipe(), consent_to_send="")):
        assert request.to_be_kept() == request.to_json()


def test_what_may_be_secret_in_an_address_is_not_kept():
    kept = asking(SECRET).to_be_kept()
    assert "sk-secret" not in json.dumps(kept)
    assert Request.from_json(kept) == asking(URL)
    assert without_queries({"base_url": SECRET, "model": "m"}) == {"base_url": URL, "model": "m"}


def test_the_request_itself_still_holds_the_whole_address():
    assert asking(SECRET).to_json()["recipe"]["parameters"]["base_url"] == SECRET
