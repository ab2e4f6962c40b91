"""What metadata.txt and the help page promise is true of every method and of what ships."""

from __future__ import annotations

import configparser
import re

import pytest

from build_zip import build_zip, find_placeholders
from rs_textseg_plugin.contract.catalog import MANIFEST, shipped_home
from rs_textseg_plugin.contract.recipe import PIPELINES
from stage import ROOT

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def about() -> str:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "metadata.txt", encoding="utf-8")
    return " ".join(parser["general"]["about"].split())


@pytest.fixture(scope="module")
def help_page() -> str:
    return (ROOT / "resources" / "help" / "index.html").read_text(encoding="utf-8")


def test_what_leaves_the_computer_is_said_of_the_methods_that_can_send_something(about):
    senders = [info for info in PIPELINES.values() if info.may_send_pictures]
    assert len(senders) == 1
    assert f'The method "{senders[0].title}" can ask a server' in about
    assert f"never with the other {NUMBERS[len(PIPELINES) - 1]} methods" in about
    for word in ("no upload", "everything runs on this computer"):
        assert word not in about


def test_the_models_that_ship_are_mentioned(about):
    assert list(shipped_home().glob(f"*/{MANIFEST}"))
    assert "demo models is in the plugin" in about
    assert "none is in the plugin" not in about


def test_the_help_page_lists_every_method_and_no_other(help_page):
    rows = re.findall(r"<tr><td><code>([a-z0-9-]+)</code>", help_page)
    assert rows == list(PIPELINES)


def test_the_help_page_needs_no_network(help_page):
    assert re.findall(r"(?:src|href)=", help_page) == []


def test_a_release_with_placeholder_addresses_is_refused(tmp_path):
    """There is no real address yet; where there is, the other half of this test holds."""
    placeholders = find_placeholders(ROOT / "metadata.txt")
    if placeholders:
        with pytest.raises(ValueError, match="is a placeholder: write the real address"):
            build_zip(tmp_path / "plugin.zip", is_release=True)
    else:
        build_zip(tmp_path / "plugin.zip", is_release=True)


def test_real_addresses_are_no_placeholders(tmp_path):
    metadata = tmp_path / "metadata.txt"
    text = (ROOT / "metadata.txt").read_text(encoding="utf-8")
    metadata.write_text(text.replace("example.org", "textseg.earth"), encoding="utf-8")
    assert find_placeholders(metadata) == []
