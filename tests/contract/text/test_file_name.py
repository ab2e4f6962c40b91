from __future__ import annotations

from pathlib import PureWindowsPath

from rs_textseg_plugin.contract.text.file_name import why_no_file_name


def test_what_some_system_does_not_take_is_told_by_its_reason(subtests):
    rows = (
        ("", "empty"),
        ("  ", "empty"),
        ("a/b", "holds '/'"),
        ("a\\b", "holds"),
        ("my:list", "holds ':'"),
        ("what?", "holds '?'"),
        ("line\nend", "holds"),
        (".hidden", "a space or a dot"),
        ("roads.", "a space or a dot"),
        ("roads ", "a space or a dot"),
        ("con", "Windows keeps"),
        ("Aux.roads", "Windows keeps"),
        ("LPT1", "Windows keeps"),
        ("é" * 101, "too long"),
    )
    for name, reason in rows:
        with subtests.test(name=name):
            assert reason in why_no_file_name(name)


def test_plain_names_in_any_language_are_taken(subtests):
    for name in ("roads", "Straßen 2026", "建物", "my.list", "console", "com", "a" * 200):
        with subtests.test(name=name):
            assert why_no_file_name(name) == ""
            assert not PureWindowsPath(name).is_reserved()
