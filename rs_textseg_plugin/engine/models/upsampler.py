"""Learned upsamplers of patch features: SimFeatUp and FeatUp's JBU stack, from their published checkpoints.

Sources: SimFeatUp is that of SegEarth-OV (CVPR 2025): one 11 x 11 module that is applied four times. FeatUp (ICLR
2024): a stack of four 7 x 7 modules. In both, ``F + 0.1 * fixup_proj(F)`` of the upsampled features ends it; that
mixes channels and nothing else, so it is done on the small features here, with the same result (see `Bilateral`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from rs_textseg_plugin.contract.errors import ModelError
from rs_textseg_plugin.engine.models.bilateral import Bilateral
from rs_textseg_plugin.engine.models.checkpoint import (
    load_state_dict,
    shapes_of,
)
from rs_textseg_plugin.engine.models.kinds import UPSAMPLER_PREFIX, require_role

FACTOR = 16  # both double the size four times
MEMORY_BYTES = 256 * 2**20  # for one picture, on the way

_STEPS = 4
_MIX_WEIGHT = 0.1


class UpsamplerNetwork(nn.Module):
    """The modules under the names of the published checkpoints.

    Args:
        channels: of the features.
        radius: of the neighbourhoods.
        keys: channels of the projected picture.
        is_shared: one module for all four steps (SimFeatUp); else one each (FeatUp).
    """

    def __init__(self, channels: int, radius: int, keys: int, is_shared: bool) -> None:
        super().__init__()
        names = ["up"] if is_shared else [f"up{number}" for number in range(1, _STEPS + 1)]
        for name in names:
            self.add_module(name, Bilateral(radius, keys))
        self.fixup_proj = nn.Sequential(nn.Dropout2d(0.2), nn.Conv2d(channels, channels, 1))

    @property
    def steps(self) -> list[Bilateral]:
        """The four steps, in the order in which they are taken."""
        found = [module for module in self.children() if isinstance(module, Bilateral)]
        return found * (_STEPS // len(found))


class Upsampler:
    """A loaded upsampler on its device.

    Upsampling is linear in the features: words can be compared with the small features first, which leaves a few
    planes to upsample, and only the features' lengths need all channels.

    Args:
        network: with its weights.
        name: for messages and provenance.
        device: where it runs.
        dtype: of the weighted sums there; the weights themselves are computed in float32.

    Attributes:
        factor: how much larger the result is, see `fit_to`; `FACTOR` at first.
    """

    def __init__(self, network: UpsamplerNetwork, name: str, device: torch.device, dtype: torch.dtype) -> None:
        self.network = network.to(device).eval()
        self.name = name
        self.device = device
        self.dtype = dtype
        self._steps = network.steps
        self.factor = FACTOR

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to another device and precision."""
        self.network.to(device)
        self.device, self.dtype = device, dtype

    @property
    def channels(self) -> int:
        """Channels of the features that it was trained for."""
        return self._mix.in_channels

    @property
    def offset(self) -> Tensor:
        """What is added to every upsampled feature at the end, ``(D,)``."""
        bias = self._mix.bias
        return _MIX_WEIGHT * (bias.detach() if bias is not None else torch.zeros(self.channels, device=self.device))

    @torch.inference_mode()
    def mixed(self, features: Tensor) -> Tensor:
        """Return small features ``(..., D)`` with the last step's mixing of channels done, but for the `offset`."""
        return features + _MIX_WEIGHT * F.linear(features, self._mix.weight.flatten(1))

    @torch.inference_mode()
    def upsample(self, planes: Tensor, picture: Tensor, limit_bytes: int = MEMORY_BYTES) -> Tensor:
        """Return ``(C, f gh, f gw)`` float32, f being the `factor`.

        Args:
            planes: ``(C, gh, gw)`` float32: mixed features, or what is linear in them.
            picture: ``(3, H, W)`` float32, what the features were made of, normalised and padded.
            limit_bytes: about the memory that may be used beside the result.
        """
        return torch.cat([self._upsampled(part, picture, limit_bytes) for part in self._parts(planes, limit_bytes)])

    def fit_to(self, patch_px: int) -> None:
        """Take no more steps than patches of that size have pixels for.

        The published four steps make 16 x 16 features of a patch, which fits patches of 16 px. Of a patch of 8 px they
        would make four for each pixel, at four times the cost.
        """
        self._steps = self.network.steps[: max(1, math.ceil(math.log2(patch_px)))]
        self.factor = 2 ** len(self._steps)

    @torch.inference_mode()
    def lengths(self, features: Tensor, picture: Tensor, limit_bytes: int = MEMORY_BYTES) -> Tensor:
        """Return the lengths of the upsampled features with their `offset`, ``(f gh, f gw)`` float32.

        Args:
            features: ``(D, gh, gw)`` float32, mixed.
            picture: as in `upsample`.
            limit_bytes: as in `upsample`; the upsampled features never exist as a whole.
        """
        features, offset = _in_fewer_channels(features, self.offset)
        squares = features.new_zeros((features.shape[1] * self.factor, features.shape[2] * self.factor))
        offsets = offset.split(self._channels_at_once(features, limit_bytes))
        for part, offset in zip(self._parts(features, limit_bytes), offsets):
            for rows, upsampled in self._last_rows(part, picture, limit_bytes):
                squares[rows] += (upsampled + offset).square().sum(dim=-1)
        return squares.sqrt()

    @property
    def _mix(self) -> nn.Conv2d:
        convolution = self.network.fixup_proj[1]
        if not isinstance(convolution, nn.Conv2d):
            raise TypeError(f"The upsampler {self.name} ends with a {type(convolution).__name__}.")
        return convolution

    def _parts(self, planes: Tensor, limit_bytes: int) -> tuple[Tensor, ...]:
        return planes.split(self._channels_at_once(planes, limit_bytes))

    def _channels_at_once(self, planes: Tensor, limit_bytes: int) -> int:
        """Return how many channels fit: at the last step they exist five times, upsampled and with borders."""
        pixels = planes.shape[1] * planes.shape[2] * self.factor**2
        return max(1, limit_bytes // (5 * 4 * pixels))

    def _upsampled(self, planes: Tensor, picture: Tensor, limit_bytes: int) -> Tensor:
        for step in self._steps:
            planes = step(planes, picture, limit_bytes // 8, self.dtype)
        return planes

    def _last_rows(self, planes: Tensor, picture: Tensor, limit_bytes: int) -> Iterator[tuple[slice, Tensor]]:
        *first, last = self._steps
        for step in first:
            planes = step(planes, picture, limit_bytes // 8, self.dtype)
        yield from last.rows(planes, picture, limit_bytes // 8, self.dtype)


def _in_fewer_channels(features: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``(C, gh, gw)`` features and ``(C,)`` offset with the same lengths, also of everything made of them.

    A window of 14 x 14 patches spans at most 196 of 512 dimensions, and with the offset 197: in an orthonormal basis
    of that space no more channels are needed, and a rotation changes no length.
    """
    channels, height, width = features.shape
    if channels <= height * width + 1:
        return features, offset
    vectors = torch.cat([features.flatten(1), offset[:, None]], dim=1)
    device = "cpu" if vectors.device.type == "mps" else vectors.device  # Apple's GPU has no QR
    coordinates = torch.linalg.qr(vectors.to(device), mode="r").R.to(vectors.device)
    return coordinates[:, :-1].unflatten(1, (height, width)), coordinates[:, -1]


def load_upsampler(path: Path, device: torch.device, dtype: torch.dtype) -> Upsampler:
    """Load an upsampler's checkpoint; which of the two layouts it has is told from its names.

    Args:
        path: state dict, with or without ``upsampler.`` before every name; other parts of a training are left out.
        device: where it will run.
        dtype: of the weighted sums there.

    Raises:
        ModelError: damaged, no upsampler, or weights that do not fit together.
    """
    state = load_state_dict(path)
    require_role(shapes_of(state), "upsampler", path)
    if any(name.startswith(UPSAMPLER_PREFIX) for name in state):
        state = {
            name.removeprefix(UPSAMPLER_PREFIX): value
            for name, value in state.items()
            if name.startswith(UPSAMPLER_PREFIX)
        }
    try:
        network = _network_for(state)
        network.load_state_dict(state, strict=True)
    except (RuntimeError, KeyError, IndexError) as error:
        raise ModelError(
            f"The upsampler checkpoint {path} is not whole ({str(error).splitlines()[-1].strip()[:160]}): "
            "fetch it again, or take it out of the set to upsample bilinearly."
        ) from error
    return Upsampler(network, path.name, device, dtype)


def _network_for(state: Mapping[str, Tensor]) -> UpsamplerNetwork:
    """Return the network that such weights belong to, with random ones."""
    is_shared = "up.range_temp" in state
    first = "up" if is_shared else "up1"
    diameter = round(state[f"{first}.fixup_proj.3.weight"].shape[0] ** 0.5)
    keys = state[f"{first}.range_proj.0.weight"].shape[0]
    return UpsamplerNetwork(state["fixup_proj.1.weight"].shape[0], diameter // 2, keys, is_shared)
