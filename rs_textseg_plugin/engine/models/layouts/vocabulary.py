"""The files that a tokenizer of Hugging Face can be made from."""

from __future__ import annotations

from pathlib import Path

# Any of these rows is enough.
_ENOUGH = (
    ("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"), ("spiece.model",), ("sentencepiece.bpe.model",),
    ("tokenizer.model",),
)  # fmt: skip


def has_vocabulary(folder: Path) -> bool:
    """Whether a folder holds the words of a tokenizer; without them transformers may make one that knows none."""
    return any(all((folder / name).is_file() for name in row) for row in _ENOUGH)
