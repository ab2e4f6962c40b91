"""Whether a device computes: torch lists GPUs that it has no code for, and GPUs whose driver is too old."""

from __future__ import annotations

import functools
import warnings

import torch
from torch import Tensor

_TOLERANCE = 1e-2  # GPUs round products of float32 to ten bits where they may
_NO_GPU = "no nvidia driver"  # what a torch with CUDA says on a machine without


@functools.cache
def why_unusable(device: torch.device) -> str:
    """Return in words why a device does not compute; empty: it does. It is tried once a process."""
    try:
        differs = float((_operations(device).cpu() - _operations(torch.device("cpu"))).abs().max())
    except (RuntimeError, AssertionError, OSError) as error:
        return _in_words(f"{error}" or type(error).__name__)
    return "" if differs < _TOLERANCE else "it computes wrong numbers"


def _operations(device: torch.device) -> Tensor:
    """Return what comes of one operation of each kind that the models are made of, ``(1, 4, 4)`` float32."""
    picture = torch.linspace(-1, 1, 3 * 16 * 16, device=device).reshape(1, 3, 16, 16)
    kernel = torch.linspace(-1, 1, 4 * 3 * 8 * 8, device=device).reshape(4, 3, 8, 8)
    features = torch.nn.functional.conv2d(picture, kernel, stride=8).flatten(2)
    weights = (features @ features.transpose(1, 2)).softmax(dim=-1)
    return torch.nn.functional.layer_norm(weights @ features, features.shape[-1:])


def find_device() -> tuple[torch.device, str]:
    """Return the first of CUDA, Apple's GPU and the CPU that computes, and why an earlier one was passed over."""
    reasons = [_why_cuda_is_not_offered()]
    for name, is_offered in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if is_offered:
            reason = why_unusable(torch.device(name))
            if not reason:
                return torch.device(name), ""
            reasons.append(reason)
    told = "; ".join(reason for reason in reasons if reason)
    return torch.device("cpu"), f"The GPU was not used ({told}): the CPU was." if told else ""


@functools.cache
def _why_cuda_is_not_offered() -> str:
    """Return what torch warns of where it sees an NVIDIA GPU that it cannot use; it warns once a process."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return ""
    told = [f"{warning.message}" for warning in caught if "cuda" in f"{warning.message}".lower()]
    return next((_in_words(words) for words in told if _NO_GPU not in words.lower()), "")


def _in_words(error: str) -> str:
    """Return what is wrong and what to do, without a full stop."""
    lowered = error.lower()
    if "no kernel image" in lowered or "not compatible with the current pytorch" in lowered:
        return f"torch {torch.__version__} has no code for this GPU, so install a build of torch that supports it"
    if "driver" in lowered and ("too old" in lowered or "insufficient" in lowered):
        return "the GPU's driver is too old for this torch, so update the driver"
    if "out of memory" in lowered:
        return "its memory is full, so close other programs that use it"
    return error.strip().splitlines()[0].rstrip(".")
