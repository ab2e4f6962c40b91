"""The real last words of engines that could not start, collected from public reports, and the cure that each gets."""

from __future__ import annotations

import signal

from rs_textseg_plugin.runtime.start_failures import why_not_started

CURES = (
    (
        'OSError: [WinError 126] The specified module could not be found. Error loading "C:\\env\\torch\\lib\\c10.dll" '
        "or one of its dependencies.",
        "Visual C++ Redistributable",
    ),
    (
        "OSError: [WinError 1114] Eine DLL-Initialisierungsroutine ist fehlgeschlagen. Error loading "
        '"C:\\env\\torch\\lib\\c10.dll" or one of its dependencies.',
        "Visual C++ Redistributable",
    ),
    ("OSError: [WinError 127] The specified procedure could not be found.", "Visual C++ Redistributable"),
    (
        "ImportError: DLL load failed while importing _multiarray_umath: The specified module could not be found.",
        "Visual C++ Redistributable",
    ),
    (
        "ImportError: DLL load failed while importing _ctypes: An Application Control policy has blocked this file.",
        "a policy of this computer",
    ),
    ("OSError: [WinError 4551] Eine Anwendungssteuerungsrichtlinie hat diese Datei blockiert.", "a policy"),
    ("OSError: [WinError 1260] This program is blocked by group policy.", "a policy of this computer"),
    (
        "OSError: [WinError 225] Operation did not complete successfully because the file contains a virus or "
        "potentially unwanted software.",
        "virus scanner has removed",
    ),
    ("PermissionError: [WinError 5] Access is denied: 'C:\\env\\torch\\lib\\torch_cpu.dll'", "wait a minute"),
    ("PermissionError: [WinError 32] The process cannot access the file", "wait a minute"),
    (
        "OSError: [WinError 1455] The paging file is too small for this operation to complete. Error loading "
        '"C:\\env\\torch\\lib\\cudnn_cnn_infer64_8.dll" or one of its dependencies.',
        "paging file larger",
    ),
    (
        "ImportError: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.28' not found (required by libtorch_cpu.so)",
        "needs a newer Linux",
    ),
    (
        "ImportError: dlopen(/env/torch/_C.so, 0x0002): tried: '/env/torch/_C.so' (mach-o file, but is an "
        "incompatible architecture (have 'x86_64', need 'arm64'))",
        "another kind of processor",
    ),
    ("ImportError: /env/_C.so: wrong ELF class: ELFCLASS32", "another kind of processor"),
    ("OSError: [WinError 193] %1 is not a valid Win32 application", "another kind of processor"),
    (
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88 "
        "from PyObject",
        "the version of NumPy",
    ),
    (
        "A module that was compiled using NumPy 1.x cannot be run in\nNumPy 2.0.0 as it may crash.\nImportError",
        "the version of NumPy",
    ),
    ("ImportError: libtorch_cpu.so: failed to map segment from shared object", "too little memory"),
    ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", "library of the system"),
    ("ImportError: /env/torchvision/_C.so: undefined symbol: _ZN3c1017RegisterOperatorsD1E", "library of the system"),
    ("OSError: [Errno 28] No space left on device", "the disk is full"),
)


def told(words, code=1):
    return why_not_started(f"Traceback\n{words}", code, "/env/python", f"exit code {code}")


def test_each_kind_of_failed_start_gets_its_cure_and_none_is_told_to_take_smaller_tiles(subtests):
    for words, cure in CURES:
        with subtests.test(words):
            sentence = told(words)
            assert sentence.startswith("The engine cannot start with '/env/python': ")
            assert cure in sentence
            assert "tiles" not in sentence


def test_an_instruction_that_the_processor_lacks_is_known_by_the_exit_code_of_each_system(subtests):
    for code in (-signal.SIGILL, 0xC000001D):
        with subtests.test(code=code):
            assert "instructions that this processor does not have" in told("", code)


def test_a_library_that_crashes_while_it_is_loaded_is_known_by_the_exit_code_of_each_system(subtests):
    for code in (-signal.SIGSEGV, 0xC0000005):
        with subtests.test(code=code):
            assert "crashed while it was loaded" in told("", code)


def test_what_is_of_no_known_kind_is_told_with_its_exit_code():
    assert "(exit code 3): look into the log" in told("no licence", 3)


def test_a_program_that_the_system_cannot_start_is_told_with_the_systems_words():
    assert "([Errno 2] no such file): start QGIS again" in why_not_started("[Errno 2] no such file", None, "/p", "")
    assert "another kind of processor" in why_not_started("[Errno 8] Exec format error: '/p'", None, "/p", "")
