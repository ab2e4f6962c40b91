"""The opcodes of a pickle as torch writes it (protocol 2), told apart and not run.

The names are those of Python's ``pickletools``, which has the full list and what each of them means.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import IO, Any

_LONGEST_LINE = 1000  # of the name of a module or of what is in it


class DamagedPickle(ValueError):
    """The bytes are no pickle that torch writes."""


def read_opcodes(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield the names of opcodes and their arguments, None where they have none, ``STOP`` last.

    Args:
        file: in memory, at the first byte of a pickle; left behind its last one.

    Raises:
        DamagedPickle: an opcode that torch does not use, or the end of the file.
    """
    name = ""
    while name != "STOP":
        code = file.read(1)
        if code in _WITHOUT_ARGUMENT:
            name = _WITHOUT_ARGUMENT[code]
            yield name, None
        elif code in _WITH_ARGUMENT:
            name, read_argument = _WITH_ARGUMENT[code]
            yield name, read_argument(file)
        else:
            raise DamagedPickle(f"the opcode {code!r}" if code else "no end")


def _bytes(file: IO[bytes], count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise DamagedPickle("no end")
    return content


def _number(form: str) -> Callable[[IO[bytes]], Any]:
    size = struct.calcsize(form)
    return lambda file: struct.unpack(form, _bytes(file, size))[0]


def _counted(form: str, decode: Callable[[bytes], Any]) -> Callable[[IO[bytes]], Any]:
    """Bytes after their count."""
    count = _number(form)
    return lambda file: decode(_bytes(file, count(file)))


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="surrogatepass")


def _old_text(content: bytes) -> str:
    return content.decode("latin-1")


def _integer(content: bytes) -> int:
    return int.from_bytes(content, "little", signed=True)


def _two_lines(file: IO[bytes]) -> str:
    """A dotted name: that of a module, and that of something in it."""
    lines = [file.readline(_LONGEST_LINE) for _ in range(2)]
    if not all(line.endswith(b"\n") for line in lines):
        raise DamagedPickle("a name without end")
    return ".".join(_text(line[:-1]) for line in lines)


_WITHOUT_ARGUMENT = {
    b"(": "MARK", b".": "STOP", b"N": "NONE", b"\x88": "NEWTRUE", b"\x89": "NEWFALSE",
    b")": "EMPTY_TUPLE", b"}": "EMPTY_DICT", b"]": "EMPTY_LIST", b"\x8f": "EMPTY_SET",
    b"t": "TUPLE", b"\x85": "TUPLE1", b"\x86": "TUPLE2", b"\x87": "TUPLE3",
    b"a": "APPEND", b"e": "APPENDS", b"s": "SETITEM", b"u": "SETITEMS", b"\x90": "ADDITEMS",
    b"Q": "BINPERSID", b"R": "REDUCE", b"\x81": "NEWOBJ", b"b": "BUILD",
}  # fmt: skip
_WITH_ARGUMENT: dict[bytes, tuple[str, Callable[[IO[bytes]], Any]]] = {
    b"\x80": ("PROTO", _number("<B")),
    b"q": ("BINPUT", _number("<B")),
    b"r": ("LONG_BINPUT", _number("<I")),
    b"h": ("BINGET", _number("<B")),
    b"j": ("LONG_BINGET", _number("<I")),
    b"c": ("GLOBAL", _two_lines),
    b"J": ("BININT", _number("<i")),
    b"K": ("BININT1", _number("<B")),
    b"M": ("BININT2", _number("<H")),
    b"G": ("BINFLOAT", _number(">d")),
    b"\x8a": ("LONG1", _counted("<B", _integer)),
    b"X": ("BINUNICODE", _counted("<I", _text)),
    b"\x8c": ("SHORT_BINUNICODE", _counted("<B", _text)),
    b"T": ("BINSTRING", _counted("<I", _old_text)),
    b"U": ("SHORT_BINSTRING", _counted("<B", _old_text)),
    b"B": ("BINBYTES", _counted("<I", bytes)),
    b"C": ("SHORT_BINBYTES", _counted("<B", bytes)),
}
