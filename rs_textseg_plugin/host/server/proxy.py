"""QGIS's own proxy settings, as the environment variables that the engine's process takes them from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from urllib.parse import quote, urlsplit

from qgis.core import QgsApplication, QgsAuthMethodConfig, QgsSettings

# QGIS's names for kinds of proxies; its DefaultProxy is the system's, which the engine asks itself.
_SCHEMES = {"HttpProxy": "http", "HttpCachingProxy": "http", "Socks5Proxy": "socks5"}
_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def proxy_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return HTTP_PROXY, HTTPS_PROXY and NO_PROXY as QGIS's options say; they may hold a password: never log them.

    Args:
        environment: where it names a proxy itself, it is right, and nothing is returned. The hosts that it excepts stay
            excepted.
    """
    proxy = "" if any(_has(environment, name) for name in _VARIABLES) else _proxy_url()
    if not proxy:
        return {}
    excepted = [environment.get("no_proxy") or environment.get("NO_PROXY") or "", *_excepted_hosts()]
    no_proxy = ",".join(filter(None, excepted))
    # In both spellings: a small one that is empty would hide the large one.
    values = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": no_proxy}
    return {spelling: value for name, value in values.items() for spelling in (name, name.lower())}


def _has(environment: Mapping[str, str], name: str) -> bool:
    return bool(environment.get(name) or environment.get(name.lower()))


def _proxy_url() -> str:
    """Return the URL of QGIS's proxy, with its user and password; empty: none is set."""
    host, port = _text("proxyHost").strip(), _text("proxyPort").strip()
    scheme = _SCHEMES.get(_text("proxyType"), "")
    if not QgsSettings().value("proxy/proxyEnabled", False, type=bool) or not scheme or not host:
        return ""
    user, password = _credentials()
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    return f"{scheme}://{login}{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"


def _credentials() -> tuple[str, str]:
    """Return user and password: those of the authentication store, where QGIS's proxy has a configuration there."""
    configuration = _text("authcfg")
    if not configuration:
        return _text("proxyUser"), _text("proxyPassword")
    stored = QgsAuthMethodConfig()
    is_read, stored = QgsApplication.authManager().loadAuthenticationConfig(configuration, stored, True)
    return (str(stored.config("username")), str(stored.config("password"))) if is_read else ("", "")


def _excepted_hosts() -> Iterator[str]:
    """Yield the hosts that QGIS reaches without its proxy; its options hold beginnings of URLs."""
    for name in ("noProxyUrls", "proxyExcludedUrls"):
        urls = QgsSettings().value(f"proxy/{name}", []) or []
        for url in [urls] if isinstance(urls, str) else urls:
            host = urlsplit(str(url) if "//" in str(url) else f"//{url}").hostname
            if host:
                yield host


def _text(name: str) -> str:
    return str(QgsSettings().value(f"proxy/{name}", "") or "")
