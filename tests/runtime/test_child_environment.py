from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

from rs_textseg_plugin.runtime.child_environment import bundle_folder, child_environment, worker_environment

WINDOWS = PureWindowsPath(r"C:\Program Files\QGIS 3.40")


def test_what_belongs_to_the_user_reaches_the_worker():
    inherited = {
        "HOME": "/home/ada",
        "HTTPS_PROXY": "http://proxy",
        "CUDA_VISIBLE_DEVICES": "1",
        "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
        "SSL_CERT_FILE": "/etc/ssl/company.pem",
    }
    assert worker_environment(inherited).items() >= inherited.items()


def test_what_belongs_to_qgis_or_to_an_activated_environment_does_not_whatever_its_case():
    names = (
        "PythonHome PYTHONPATH DYLD_LIBRARY_PATH Qt_PLUGIN_PATH PROJ_DATA PROJ_AUX_DB GDAL_CONFIG_FILE OPENSSL_CONF "
        "VIRTUAL_ENV CONDA_PREFIX LD_PRELOAD __PYVENV_LAUNCHER__"
    )
    inherited = dict.fromkeys(names.split(), "x")
    assert not inherited.keys() & worker_environment(inherited).keys()


def test_qgis_folders_leave_the_paths_and_others_stay():
    inherited = {
        "Path": r"C:\PROGRAM FILES\QGIS 3.40\bin;C:\Windows\system32;C:\Program Files\QGIS 3.40\apps\Qt5\bin;C:\Git",
        "SSL_CERT_FILE": r"C:\Program Files\QGIS 3.40\bin\curl-ca-bundle.crt",
        "SSL_CERT_DIR": r"C:\company\certificates",
        "TEMP": r"C:\Program Files\QGIS 3.40\temp",
    }
    assert child_environment(inherited, WINDOWS) == {
        "Path": r"C:\Windows\system32;C:\Git",
        "SSL_CERT_DIR": r"C:\company\certificates",
        "TEMP": r"C:\Program Files\QGIS 3.40\temp",
    }


def test_a_folder_whose_name_only_begins_like_that_of_qgis_stays():
    inherited = {"PATH": "/opt/qgis/bin:/opt/qgis-tools/bin:/usr/bin"}
    assert child_environment(inherited, PurePosixPath("/opt/qgis"))["PATH"] == "/opt/qgis-tools/bin:/usr/bin"


def test_qgis_folder_is_found_on_each_system(subtests):
    rows = (
        ("win32", r"C:\Program Files\QGIS 3.40\bin\qgis-bin.exe", {}, WINDOWS),
        ("win32", r"C:\Program Files\QGIS 3.40\apps\Python312\python.exe", {}, WINDOWS),
        ("win32", r"C:\x\python.exe", {"OSGEO4W_ROOT": r"C:\OSGeo4W"}, PureWindowsPath(r"C:\OSGeo4W")),
        ("win32", r"C:\x\python.exe", {}, None),
        ("darwin", "/Applications/QGIS.app/Contents/MacOS/QGIS", {}, PurePosixPath("/Applications/QGIS.app")),
        ("darwin", "/opt/homebrew/bin/python3", {}, None),
        ("linux", "/usr/bin/python3", {"QGIS_PREFIX_PATH": "/usr/"}, None),
        ("linux", "/usr/bin/python3", {"QGIS_PREFIX_PATH": "/opt/qgis"}, PurePosixPath("/opt/qgis")),
        ("linux", "/tmp/.mount/usr/bin/python3", {"APPDIR": "/tmp/.mount"}, PurePosixPath("/tmp/.mount")),
        ("linux", "/usr/bin/python3", {}, None),
    )
    for platform, executable, inherited, folder in rows:
        with subtests.test(platform=platform, executable=executable):
            assert bundle_folder(executable, inherited, platform) == folder
