"""Why an engine could not start, from its last words and its exit code.

Between the start of its Python and its first answer a worker imports some hundred libraries of machine code. What
fails there depends on the system, not on the raster: a smaller tile mends none of it. The words are those of the
loaders of Windows, glibc and macOS, and of NumPy and torch; Windows translates its sentences, not its numbers.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from rs_textseg_plugin.runtime.environment import requirements_file

_ILLEGAL_INSTRUCTION = {-signal.SIGILL, 0xC000001D}  # Windows: STATUS_ILLEGAL_INSTRUCTION
_NATIVE_CRASH = {-signal.SIGSEGV, 0xC0000005}  # Windows: STATUS_ACCESS_VIOLATION


@dataclass(frozen=True)
class StartFailure:
    """A kind of failed start.

    Attributes:
        words: regular expression; one of its lines is in the last words.
        sentence: what happened and what to do, after "The engine cannot start: ".
    """

    words: str
    sentence: str


# In this order: what is said first is the more certain.
_FAILURES = (
    StartFailure(
        r"\[WinError (4551|1260)\]|Application Control policy|blocked by group policy",
        "a policy of this computer forbids one of its libraries. Ask its administrator to allow the folder of the "
        "engine's Python, or to install it in a folder that is allowed.",
    ),
    StartFailure(
        r"\[WinError 225\]|contains a virus or potentially unwanted software",
        "the virus scanner has removed or blocked one of its libraries. Let the scanner leave out the folder of the "
        "engine's Python, and install its packages again.",
    ),
    StartFailure(
        r"\[WinError (5|32)\]|PermissionError: \[Errno 13\]",
        "one of its files cannot be read. A virus scanner or another program may hold it: wait a minute and try "
        "again, and look at the permissions of its folder if it stays.",
    ),
    StartFailure(
        r"\[WinError 1455\]",
        "Windows has too little virtual memory for its libraries. Make the paging file larger (System, Advanced, "
        "Performance), or close other programs.",
    ),
    StartFailure(
        r"Memory ran out while the engine started|failed to map segment|cannot map zero-fill pages|"
        r"[Cc]annot allocate memory",
        "there is too little memory for its libraries. Close other programs, or raise the limit of memory.",
    ),
    StartFailure(
        r"No space left on device|\[Errno 28\]|\[WinError 112\]",
        "the disk is full. Free some space on the disk of temporary files and on that of the engine's Python.",
    ),
    StartFailure(
        r"incompatible architecture|wrong ELF class|\[WinError 193\]|Exec format error|Bad CPU type",
        "its Python or one of its packages is made for another kind of processor. Install the engine with a Python "
        "for this computer's processor.",
    ),
    StartFailure(
        r"version [`'](GLIBC|GLIBCXX|CXXABI)_[\d.]+' not found",
        "one of its packages needs a newer Linux than this one. Install packages that are made for this system, or "
        "update it.",
    ),
    StartFailure(
        r"numpy\.(dtype|ufunc) size changed|compiled using NumPy 1\.x cannot be run|multiarray failed to import|"
        r"Numpy is not available|compiled against (ABI|API) version",
        "one of its packages does not fit the version of NumPy beside it. Install its packages again, all together.",
    ),
    StartFailure(
        r"Visual C\+\+ Redistributable|\[WinError (126|127|1114)\]|DLL load failed|vcruntime|msvcp140",
        "a library of Windows is missing or too old. Install the Microsoft Visual C++ Redistributable 2015-2022 "
        "(x64), start the computer again, and try again.",
    ),
    StartFailure(
        r"cannot open shared object file|Library not loaded|undefined symbol|Symbol not found",
        "a library of the system that one of its packages needs is missing or of another version. Install its "
        "packages again, or the library that the log names.",
    ),
)


def why_not_started(words: str, code: int | None, python: str, end: str) -> str:
    """Return in words why an engine ended before its first answer.

    Args:
        words: the last that it said, or why the system could not start it.
        code: its exit code, negative: the signal that ended it; None: it was never started.
        python: the engine's interpreter.
        end: the exit code in words.
    """
    missing = _missing_package(words, python)
    if missing:
        return missing
    sentence = _of_code(code) or _of_words(words)
    if sentence:
        return f"The engine cannot start with {python!r}: {sentence}"
    if code is None:
        return f"The engine cannot be started with {python!r} ({words}): start QGIS again, or set another interpreter."
    return (
        f"The engine started with {python!r} ended before it could work ({end}): look into the log for its last "
        "words, and install its packages again."
    )


def _missing_package(words: str, python: str) -> str:
    found = re.search(r"^ModuleNotFoundError: No module named '([\w.]+)'\s*\Z", words, re.MULTILINE)
    if found is None:
        return ""
    return (
        f"The engine's Python {python!r} lacks the package {found.group(1)!r}. "
        f'Install what is missing with:\n"{python}" -m pip install -r "{requirements_file()}"'
    )


def _of_code(code: int | None) -> str:
    if code in _ILLEGAL_INSTRUCTION:
        return (
            "one of its packages uses instructions that this processor does not have. Install packages that are made "
            "for this processor, such as an older torch."
        )
    if code in _NATIVE_CRASH:
        return (
            "one of its libraries crashed while it was loaded. Install its packages again; a virus scanner or another "
            "version of a library may be the cause."
        )
    return ""


def _of_words(words: str) -> str:
    return next((kind.sentence for kind in _FAILURES if re.search(kind.words, words)), "")
