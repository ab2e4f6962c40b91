"""CLIP's tokenizer without what the words of the demo detector have no use for: a few kilobytes in place of 1.4 MB."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rs_textseg_plugin.engine.models.torchvision_ops import ensure_torchvision

ensure_torchvision()

import transformers  # noqa: E402 (after the repair that it needs)
from open_clip.tokenizer import SimpleTokenizer  # noqa: E402

CONTEXT = 77
_SPECIAL = ("<|startoftext|>", "<|endoftext|>")  # the end has the highest number: that is how models find it


def make_tokenizer(sentences: Iterable[str]) -> Any:
    """Return a tokenizer that takes these sentences apart as CLIP's does.

    All other words fall into smaller pieces, down to letters.
    """
    clip = SimpleTokenizer()
    words = sorted({word for sentence in sentences for word in sentence.lower().split()})
    used = {pair for word in words for pair in _merges_of(word, clip.bpe_ranks)}
    merges = sorted(used, key=clip.bpe_ranks.__getitem__)
    letters = list(clip.byte_encoder.values())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges), *_SPECIAL]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer: Any = transformers.CLIPTokenizer
    return tokenizer(vocabulary, merges, model_max_length=CONTEXT, pad_token="!")


def _merges_of(word: str, ranks: dict[tuple[str, str], int]) -> list[tuple[str, str]]:
    """Return the pairs that byte pair encoding joins in a word of ASCII letters, in that order."""
    pieces, merges = [*word[:-1], f"{word[-1]}</w>"], list[tuple[str, str]]()
    while True:
        pairs = [pair for pair in zip(pieces, pieces[1:]) if pair in ranks]
        if not pairs:
            return merges
        best = min(pairs, key=ranks.__getitem__)
        merges.append(best)
        pieces = _joined(pieces, best)


def _joined(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
