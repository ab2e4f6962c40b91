"""A file from the network: whole and as listed, or nothing."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import httpx2
from tqdm import tqdm

from rs_textseg_plugin.contract.catalog import ModelFile
from rs_textseg_plugin.contract.errors import EngineError, ModelError
from rs_textseg_plugin.engine.loading.growing import growing_file, in_words
from rs_textseg_plugin.engine.loading.packed import look_into, require_room
from rs_textseg_plugin.engine.models.archives.digest import file_digest

_PART_BYTES = 2**20
_PATIENCE = httpx2.Timeout(60.0, connect=30.0)
# Packed, a file has another length than the one that is announced.
_UNPACKED = {"Accept-Encoding": "identity"}


class _LeavesHttps(Exception):
    """A server sends on to an address without encryption, and there is no digest to tell what comes from there."""


def download(file: ModelFile, url: str, target: Path) -> str:
    """Write what lies at an address to `target`; return its hexadecimal SHA-256.

    The target appears once all of it is there. A listed size and digest are compared; where they are not known, the
    length that the server announces has to arrive.

    Args:
        file: what is listed.
        url: where it is fetched from.
        target: the file; its folder is there.

    Raises:
        ModelError: the content is another one than listed.
        EngineError: the network or the disk failed.
    """
    with growing_file(target) as growing:
        try:
            digest, size_bytes = _fetch(file, url, growing)
        except (httpx2.HTTPError, httpx2.InvalidURL, _LeavesHttps) as error:
            raise _not_fetched(url, target, error) from error
        _require_listed(file, url, digest, size_bytes)
    return digest


def download_packed(file: ModelFile, url: str, target: Path) -> str:
    """Write the one checkpoint in the zip file at an address to `target`; return its hexadecimal SHA-256.

    What is listed of the file is of the checkpoint. The zip file is removed again; see `download`.

    Raises:
        ModelError: there is no such zip file, or it holds no checkpoint, or several.
        EngineError: the network or the disk failed.
    """
    with in_words(target), tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as work:
        archive = Path(work) / f"{target.stem}.zip"
        download(replace(file, sha256="", size_bytes=0), url, archive)
        packed = look_into(archive, ())
        require_room(target.parent, packed.checkpoint.file_size)
        unpacked = packed.unpack(Path(work))
        digest = file_digest(unpacked)
        _require_listed(file, url, digest, unpacked.stat().st_size)
        unpacked.replace(target)
    return digest


def _fetch(file: ModelFile, url: str, growing: BinaryIO) -> tuple[str, int]:
    """Write the answer's bytes; return their digest and their number."""
    digest, size_bytes = hashlib.sha256(), 0
    hooks = {"request": [] if file.sha256 else [_require_https]}
    with (
        httpx2.Client(follow_redirects=True, timeout=_PATIENCE, headers=_UNPACKED, event_hooks=hooks) as client,
        client.stream("GET", url) as answer,
    ):
        answer.raise_for_status()
        announced = int(answer.headers.get("Content-Length", file.size_bytes))
        with tqdm(total=announced or None, unit="B", unit_scale=True, disable=None, desc=file.name) as progress:
            for part in answer.iter_raw(_PART_BYTES):
                growing.write(part)
                digest.update(part)
                size_bytes += len(part)
                progress.update(len(part))
    return digest.hexdigest(), size_bytes


def _require_https(request: httpx2.Request) -> None:
    """Refuse to be sent on to an address where others on the way could change the file."""
    if request.url.scheme != "https":
        raise _LeavesHttps(f"it is sent on to {request.url.host} without encryption")


def _require_listed(file: ModelFile, url: str, digest: str, size_bytes: int) -> None:
    if file.size_bytes and size_bytes != file.size_bytes:
        raise ModelError(
            f"{url} is not the listed file (it has {size_bytes} bytes, listed are {file.size_bytes}): "
            "the download was thrown away."
        )
    if file.sha256 and digest != file.sha256:
        raise ModelError(
            f"{url} is not the listed file (SHA-256 {digest[:12]}..., listed {file.sha256[:12]}...): "
            "the download was thrown away."
        )


def _not_fetched(url: str, target: Path, error: Exception) -> EngineError:
    status = error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else 0
    if status in (401, 403):
        return EngineError(
            f"{url} could not be fetched ({status}): its owner wants to know who fetches it. Agree to that on its page "
            f"in a browser, and copy the file to {target} by hand."
        )
    reason = f"{status} {error.response.reason_phrase}" if isinstance(error, httpx2.HTTPStatusError) else str(error)
    return EngineError(
        f"{url} could not be fetched ({reason or type(error).__name__}): check the connection and the proxy settings, "
        f"or copy the file to {target} by hand."
    )
