"""The check command sees what the plugin site's gate would see."""

from __future__ import annotations

import pytest

from check import Step, find_bandit_problems, find_secrets, python_module, run_steps

BLOCKED_BY_THE_SITE = [
    ("import subprocess\n\nsubprocess.run(['ls'])\n", "B603"),
    ("import subprocess\n\nsubprocess.run(['ls'])  # nosec\n", "B603"),
    ("assert 1\n", "B101"),
    ("import torch\n\ntorch.load('a')\n", "B614"),
    ("def broken(:\n", "syntax"),
]


@pytest.mark.parametrize(("source", "rule"), BLOCKED_BY_THE_SITE)
def test_what_bandit_finds_is_reported_whatever_its_severity(tmp_path, source, rule):
    (tmp_path / "module.py").write_text(source, encoding="utf-8")
    assert rule in find_bandit_problems(tmp_path)


def test_importing_subprocess_alone_is_no_finding(tmp_path):
    (tmp_path / "module.py").write_text("import subprocess\n", encoding="utf-8")
    assert find_bandit_problems(tmp_path) == ""


@pytest.mark.parametrize(
    ("name", "line", "kind"),
    [
        ("module.py", f'key = "{"AKIA" + "IOSFODNN7EXAMPLQ"}"', "AWS"),
        ("module.py", f'key = "{"AKIA" + "IOSFODNN7EXAMPLQ"}"  # pragma: allowlist secret', "AWS"),
        ("inner/data.json", '{"sha256": "' + "5806e77cd80f8b59890b7e101eabd078" + '"}', "High Entropy"),
    ],
)
def test_a_secret_is_reported_with_its_file_and_line(tmp_path, name, line, kind):
    (tmp_path / "inner").mkdir()
    (tmp_path / name).write_text(f"\n{line}\n", encoding="utf-8")
    found = find_secrets(tmp_path)
    assert f"{name}:2" in found
    assert kind in found


def test_digests_in_groups_of_eight_are_no_secret(tmp_path):
    (tmp_path / "data.json").write_text('{"sha256": "5806e77c d80f8b59 890b7e10 1eabd078"}\n', encoding="utf-8")
    assert find_secrets(tmp_path) == ""


def test_each_step_is_one_line_and_a_failed_one_shows_its_output(capsys):
    steps = [Step("fine", python_module("this")), Step("wrong", python_module("json.tool", "no such file"))]
    assert run_steps(steps) == 1
    first, second, *output = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["ok", "fine"]
    assert second.split()[:2] == ["failed", "wrong"]
    assert "no such file" in "\n".join(output)
