"""A mask's crop as CLIP is shown it."""

from __future__ import annotations

import numpy as np
from PIL import Image
from rasters import texture

from rs_textseg_plugin.engine.clip.object_picture import object_picture

FILL = (10, 20, 30)


def test_a_crop_is_padded_or_squashed_to_a_square_and_shows_the_object_alone_where_asked_for():
    crop = np.ascontiguousarray(texture(20, 60).transpose(1, 2, 0))
    inside = np.random.default_rng(0).random((20, 60)) > 0.4
    alone = np.where(inside[..., None], crop, np.array(FILL, np.uint8))
    padded = np.full((60, 60, 3), FILL, np.uint8)
    padded[20:40] = alone
    for shape, shows_around, expected in (
        ("padded", False, padded),
        ("squashed", False, alone),
        ("squashed", True, crop),
    ):
        resized = np.asarray(Image.fromarray(expected).resize((32, 32), Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(object_picture(crop, inside, 32, FILL, shows_around, shape), resized)
    np.testing.assert_array_equal(
        object_picture(crop, inside, 32, FILL, False), object_picture(crop, inside, 32, FILL, False, "padded")
    )
