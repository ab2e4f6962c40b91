"""Addresses of servers: what is taken, what is refused, and what may be shown."""

from __future__ import annotations

import pytest

from rs_textseg_plugin.contract.errors import RecipeError
from rs_textseg_plugin.contract.server.server_address import can_be_overheard, is_this_machine, parse_address, shown_url


def test_an_address_is_taken_without_a_slash_at_its_end_and_without_its_query(subtests):
    for given, base_url, host in (
        ("http://localhost:8000/v1", "http://localhost:8000/v1", "localhost:8000"),
        (" https://api.example.com/v1/ ", "https://api.example.com/v1", "api.example.com"),
        ("https://example.com", "https://example.com", "example.com"),
        ("http://[::1]:11434/v1", "http://[::1]:11434/v1", "[::1]:11434"),
        ("HTTPS://Example.com/V1", "https://example.com/V1", "example.com"),
        ("https://e.com/v1?a=1&b=#top", "https://e.com/v1", "e.com"),
    ):
        with subtests.test(given=given):
            address = parse_address(given)
            assert (address.base_url, address.host) == (base_url, host)


def test_a_query_is_kept_apart_and_has_no_repr():
    address = parse_address("https://e.com/v1?api-version=2&code=s%20t&empty=")
    assert address.query == (("api-version", "2"), ("code", "s t"), ("empty", ""))
    assert "code" not in repr(address)


def test_what_is_no_address_of_a_web_server_is_refused(subtests):
    for url in (
        "",
        " ",
        "gpt-5",
        "localhost:8000",
        "//host/v1",
        "http://",
        "http:///v1",
        "ftp://host",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://host:port/v1",
        "http://host:99999/v1",
        "http://host:0/v1",
        "http://[::1/v1",
        "http://ho st/v1",
        "http://host/v1\nX: y",
        "http://host/v\x001",
        "http://a..b/v1",
        "http://<host>/v1",
        "http://999.1.1.1/v1",
        "http://b\u00fccher.example/v1",
        "http://xn--bcher-kva.example/v1",
        "http://192.168.1/v1",
        "http://[fe80::1%eth0]/v1",
        "http://[12]/v1",
        "http://host/my v1",
        f"http://{'a' * 64}.com/v1",
    ):
        with subtests.test(url=url), pytest.raises(RecipeError, match="is no address of a web server: give one that b"):
            parse_address(url)


def test_what_may_be_a_password_or_a_key_is_refused_without_showing_it(subtests):
    for url in (
        "https://me:hidden@host/v1",
        "https://hidden@host/v1",
        "https://:hidden@host/v1",
        "https://me:hid/den@host/v1",
        "https://me:hid?den@host/v1",
        "https://me:hid#den@host/v1",
        "me:hidden@host/v1",
        "ftp://me:hidden@host",
        "htp://host?key=hidden",
        "http://ho st?key=hidden",
    ):
        with subtests.test(url=url):
            with pytest.raises(RecipeError) as caught:
                parse_address(url)
            assert "hid" not in str(caught.value)


def test_a_user_name_and_a_password_are_refused_with_the_reason():
    with pytest.raises(RecipeError, match="user name or a password, which would be written into results"):
        parse_address("https://me:you@host/v1")


def test_a_shown_address_has_nothing_secret(subtests):
    for url, shown in (
        ("https://me:you@host:1/v1?a=b#c", "https://host:1/v1"),
        ("https://host/a@b/v1", "https://host/a@b/v1"),
        ("host/v1?a=b", "host/v1"),
        ("me:you@host", "..."),
    ):
        with subtests.test(url=url):
            assert shown_url(url) == shown


def test_this_machine_is_known_by_its_names(subtests):
    for address, is_here in (
        ("http://localhost:8000/v1", True),
        ("http://[::1]/v1", True),
        ("http://127.0.0.1/v1", True),
        ("http://127.1.2.3:8000/v1", True),
        ("http://LOCALHOST./v1", True),
        ("http://128.0.0.1/v1", False),
        ("http://127.0.0.1.example.org/v1", False),
        ("http://localhost.example.org/v1", False),
    ):
        with subtests.test(address=address):
            assert is_this_machine(address) is is_here


def test_a_connection_without_encryption_can_be_overheard(subtests):
    for address, open_to_others in (
        ("http://host:8000/v1", True),
        ("https://host/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ):
        with subtests.test(address=address):
            assert can_be_overheard(address) is open_to_others
