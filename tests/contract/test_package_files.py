from __future__ import annotations

from rs_textseg_plugin.contract.package_files import PACKAGE_FOLDER, package_file


def test_a_file_of_the_staged_plugin_is_found_inside_it():
    assert package_file("requirements.txt") == PACKAGE_FOLDER / "requirements.txt"
    assert package_file("requirements.txt").is_file()


def test_a_missing_file_is_expected_inside_the_plugin():
    assert package_file("nothing.txt") == PACKAGE_FOLDER / "nothing.txt"
