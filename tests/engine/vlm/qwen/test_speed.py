from __future__ import annotations

import torch
from torch import nn

from rs_textseg_plugin.engine.vlm.qwen.speed import measure

CPU = torch.device("cpu")


def test_a_row_of_many_costs_less_than_a_single_one():
    layer = nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 1024))
    speed = measure(layer, CPU)
    assert 0 < speed.many_s < speed.single_s


def test_the_time_is_that_of_one_weight():
    small, large = nn.Linear(512, 512), nn.Sequential(*(nn.Linear(512, 512) for _ in range(8)))
    ratio = measure(large, CPU).many_s / measure(small, CPU).many_s
    assert 0.1 < ratio < 10
