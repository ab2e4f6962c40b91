"""Observations are kept in memory, up to a number of bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from rs_textseg_plugin.engine.pipelines.observations import ObservationCache


@dataclass(frozen=True, eq=False)
class Seen:
    values: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


def seen(size_bytes: int) -> Seen:
    return Seen(np.zeros(size_bytes, np.uint8))


def is_held(cache: ObservationCache, key: object, size_bytes: int) -> bool:
    """Whether nothing is made for that key; what is not held is held afterwards."""
    made = []

    def make() -> Seen:
        made.append(key)
        return seen(size_bytes)

    cache.get_or_make(key, make)
    return not made


def test_an_observation_is_made_once():
    cache = ObservationCache(100)
    first = cache.get_or_make("a", lambda: seen(10))
    assert cache.get_or_make("a", lambda: seen(10)) is first
    assert cache.get_or_make("b", lambda: seen(10)) is not first


def test_the_observation_used_longest_ago_is_dropped_when_the_bytes_are_spent():
    cache = ObservationCache(100)
    for key in "abc":
        cache.get_or_make(key, lambda: seen(30))
    assert is_held(cache, "a", 30)  # so b is now the oldest
    cache.get_or_make("d", lambda: seen(30))
    assert [is_held(cache, key, 30) for key in "acd"] == [True, True, True]
    assert not is_held(cache, "b", 30)


def test_a_cache_that_is_just_full_drops_nothing():
    cache = ObservationCache(90)
    for key in "abc":
        cache.get_or_make(key, lambda: seen(30))
    assert [is_held(cache, key, 30) for key in "abc"] == [True, True, True]


def test_one_large_observation_drops_as_many_as_it_needs():
    cache = ObservationCache(100)
    for key in "abcd":
        cache.get_or_make(key, lambda: seen(25))
    cache.get_or_make("large", lambda: seen(60))
    assert [is_held(cache, key, 25) for key in ("d", "large")] == [True, True]
    assert not is_held(cache, "c", 25)


def test_dropped_bytes_are_free_again():
    cache = ObservationCache(100)
    for number in range(20):
        cache.get_or_make(number, lambda: seen(50))
    assert [is_held(cache, key, 50) for key in (18, 19)] == [True, True]


def test_an_observation_larger_than_the_cache_is_held_until_the_next_one():
    cache = ObservationCache(100)
    cache.get_or_make("large", lambda: seen(500))
    assert is_held(cache, "large", 500)
    cache.get_or_make("small", lambda: seen(10))
    assert is_held(cache, "small", 10)
    assert not is_held(cache, "large", 500)


def test_what_failed_to_be_made_is_not_held():
    cache = ObservationCache(100)

    def fail() -> Seen:
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        cache.get_or_make("a", fail)
    assert not is_held(cache, "a", 10)
    assert is_held(cache, "a", 10)
