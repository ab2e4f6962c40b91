"""The way that pictures take to a server: directly, or through a proxy."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from rs_textseg_plugin.contract.server.server_address import is_this_machine


@dataclass(frozen=True)
class Route:
    """How a server is reached.

    Attributes:
        is_within: whether it does not leave this machine.
        proxy: URL of the proxy, which may hold a password; empty: none stands between.
    """

    is_within: bool
    proxy: str = field(default="", repr=False)

    @property
    def proxy_host(self) -> str:
        """The proxy's name and port, fit to be shown; empty: there is no proxy."""
        return urlsplit(self.proxy).netloc.rpartition("@")[2]

    @property
    def words(self) -> str:
        """What pictures do, as a sentence about them ends."""
        if self.is_within:
            return "stay on this machine"
        return f"leave this machine {f'through the proxy {self.proxy_host}' if self.proxy else 'directly'}"


def find_route(base_url: str) -> Route:
    """Return the way to a server, by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY or the system's own settings.

    What is meant for this machine itself goes through no proxy, whatever they say: it would leave the machine.
    """
    if is_this_machine(base_url):
        return Route(is_within=True)
    parts = urlsplit(base_url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not proxy or _is_excepted(parts.hostname or "", parts.netloc, proxies.get("no", "")):
        return Route(is_within=False)
    return Route(is_within=False, proxy=proxy if "://" in proxy else f"http://{proxy}")


def _is_excepted(host: str, netloc: str, exceptions: str) -> bool:
    """Whether NO_PROXY, or what the system has for it, names a host: itself, its domain, or its network."""
    if urllib.request.proxy_bypass(netloc) or urllib.request.proxy_bypass(host):
        return True
    return any(_is_in_network(host, part.strip()) for part in exceptions.split(","))


def _is_in_network(host: str, network: str) -> bool:
    try:
        return "/" in network and ip_address(host) in ip_network(network, strict=False)
    except ValueError:  # a name, which is looked up by whoever connects
        return False
