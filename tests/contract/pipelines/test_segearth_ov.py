from __future__ import annotations

from rs_textseg_plugin.contract.recipe import Recipe


def test_the_presets_are_the_protocol_and_the_same_at_native_resolution():
    presets = [Recipe("segearth-ov", preset=name).checked_parameters() for name in ("segearth-published", "native")]
    for values in presets:
        assert (values["clip_window_px"], values["clip_stride_px"], values["cls_weight"]) == (224, 112, 0.3)
        assert (values["logit_scale"], values["prob_threshold"], values["templates"]) == (50.0, None, "80")
    assert [(v["clip_long_side_px"], v["window_blend"], v["overlap_px"]) for v in presets] == [
        (448, "mean", 0), (0, "taper", 128),
    ]  # fmt: skip
    assert [values["closed_list"] for values in presets] == [True, False]
