"""Nothing is sent to where nobody agreed to, nor with a password in the address."""

from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import QueryError, RecipeError
from rs_textseg_plugin.contract.server.consent import require_consent

URL = "https://vlm.example/v1"


def test_pictures_go_nowhere_but_to_the_address_that_was_agreed_to(subtests):
    for consent in ("", "https://other.example/v1", f"{URL}/", f"{URL}?key=1"):
        with subtests.test(consent), pytest.raises(QueryError, match=f"Nothing was sent: .* for {URL}, and nobody agr"):
            require_consent(URL, consent)


def test_only_pictures_that_leave_need_an_agreement_and_only_to_that_address():
    def is_refused(address: str, consent: str) -> bool:
        try:
            require_consent(address, consent)
        except QueryError:
            return True
        return False

    asked = {("", ""): False, ("", URL): False, (URL, URL): False, (URL, ""): True}
    assert {pair: is_refused(*pair) for pair in asked} == asked


def test_a_query_of_the_address_is_not_shown():
    with pytest.raises(QueryError) as caught:
        require_consent(f"{URL}?code=secret", "")
    assert "secret" not in str(caught.value)


def test_an_address_that_cannot_be_used_is_refused_even_with_consent(subtests):
    for url in ("https://me:secret@vlm.example/v1", "vlm.example?secret"):
        with subtests.test(url):
            with pytest.raises(RecipeError) as caught:
                require_consent(url, url)
            assert "secret" not in str(caught.value)
