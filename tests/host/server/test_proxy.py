"""QGIS's proxy settings become what the engine's process understands: real settings, and a real store of logins."""

from __future__ import annotations

import pytest
from authentication import store_configuration
from qgis.core import QgsSettings

from rs_textseg_plugin.host.server.proxy import proxy_variables

pytestmark = pytest.mark.usefixtures("qgis_app")
PASSWORD = "p@ss:w/rd"


@pytest.fixture
def options():
    """Set values of QGIS's options below ``proxy``; they are gone with the test."""

    def choose(**values: object) -> None:
        for name, value in {"proxyEnabled": True, "proxyType": "HttpProxy", **values}.items():
            QgsSettings().setValue(f"proxy/{name}", value)

    yield choose
    QgsSettings().remove("proxy")


def test_a_proxy_of_qgis_is_handed_on_in_both_spellings(options):
    options(proxyHost="proxy.example", proxyPort="3128")
    variables = proxy_variables({})
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        assert variables[name] == "http://proxy.example:3128"
    assert variables["NO_PROXY"] == ""


def test_a_login_is_written_so_that_it_can_be_read_again(options, subtests):
    stored = store_configuration("Basic", username="ada", password=PASSWORD)
    for login in (  # by hand, and by a configuration
        {"proxyUser": "ada", "proxyPassword": PASSWORD},
        {"authcfg": stored, "proxyUser": "", "proxyPassword": ""},
    ):
        with subtests.test(login):
            options(proxyHost="proxy.example", proxyPort="3128", **login)
            assert proxy_variables({})["HTTPS_PROXY"] == "http://ada:p%40ss%3Aw%2Frd@proxy.example:3128"


def test_the_environment_is_right_where_it_names_a_proxy(options, subtests):
    options(proxyHost="proxy.example", proxyPort="3128")
    for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        with subtests.test(name):
            assert proxy_variables({name: "http://other:1"}) == {}


def test_the_exceptions_of_both_count(options):
    options(
        proxyHost="proxy.example",
        noProxyUrls=["http://intranet.example/maps", "localhost"],
        proxyExcludedUrls="https://tiles.example:8443",
    )
    wanted = "one.example,intranet.example,localhost,tiles.example"
    assert proxy_variables({"NO_PROXY": "one.example"})["no_proxy"] == wanted


def test_where_qgis_has_no_proxy_of_its_own_nothing_is_handed_on(options, subtests):
    for values in (
        {"proxyEnabled": False},
        {"proxyType": "DefaultProxy"},
        {"proxyHost": " "},
        {"proxyType": "FtpCachingProxy"},
    ):
        with subtests.test(values):
            options(**{"proxyHost": "proxy.example", **values})
            assert proxy_variables({}) == {}


def test_other_kinds_of_proxies_keep_their_kind(options):
    options(proxyHost="fe80::1", proxyPort="1080", proxyType="Socks5Proxy")
    assert proxy_variables({})["HTTP_PROXY"] == "socks5://[fe80::1]:1080"
