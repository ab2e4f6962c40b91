from __future__ import annotations

from command_line import run


def test_model_sets_are_imported_verified_and_listed(tmp_path, tiny_models, monkeypatch, capfd):
    monkeypatch.setenv("RS_TEXTSEG_MODELS", str(tmp_path / "home"))
    files = sorted(tiny_models.iterdir())
    assert run("models", "import", "", *files) == 2
    assert run("models", "import", "mine", *files) == 0
    assert run("models", "verify", "mine") == 0
    assert run("models", "list") == 0
    printed = capfd.readouterr().out
    assert "SHA-256" in printed
    assert "mine" in printed
    assert "sam-b-clip-b16" in printed
    assert run("models", "import", "mine", *files) == 2
    assert run("models", "verify", "nothing") == 2
    assert run("models", "fetch", "nothing") == 2
