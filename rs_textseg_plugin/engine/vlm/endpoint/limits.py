"""How much of an answer is taken."""

from __future__ import annotations

# The longest answer that can be asked for, 65,536 tokens, is some 300 kB of JSON, and 800 kB with every letter escaped.
MOST_TOKENS = 65_536  # of an answer: what the parameter max_tokens goes up to
MOST_BYTES = 2_000_000


class TooLarge(Exception):
    """An answer has more bytes than `MOST_BYTES`; its connection was closed."""


class UnknownCoding(Exception):
    """An answer is packed in a way that nobody asked for; its connection was closed."""
