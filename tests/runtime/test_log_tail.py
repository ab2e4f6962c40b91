from __future__ import annotations

from rs_textseg_plugin.runtime.log_tail import LogTail


def test_only_the_last_lines_are_kept_in_their_order():
    log = LogTail(2)
    for line in ("first", "second", "third"):
        log.append(line)
    assert str(log) == "second\nthird"


def test_a_cleared_log_is_empty():
    log = LogTail()
    log.append("line")
    log.clear()
    assert str(log) == ""


def test_a_key_is_in_no_line_from_when_it_is_known_until_there_is_none():
    log = LogTail()
    log.hide("sk-hidden")
    log.append("sent sk-hidden and c2staGlkZGVu")
    log.hide("")
    log.append("sk-hidden")
    assert str(log) == "sent *** and ***\nsk-hidden"
