"""Words that compete where nobody typed them, and what is left out because it means the same."""

from __future__ import annotations

from rs_textseg_plugin.contract.text.vocabulary import Vocabulary, read_vocabulary


def test_what_is_broader_or_narrower_than_a_word_does_not_compete_with_it(subtests):
    words = ("tree", "forest", "grass", "road", "building")
    for asked, left in (
        (["tree"], ("grass", "road", "building")),
        (["Vegetation"], ("road", "building")),
        (["grass"], ("tree", "forest", "road", "building")),  # vegetation too, and none of the others
        (["house"], ("tree", "forest", "grass", "road")),
        (["road", "forest"], ("grass", "building")),
        (["helipad"], words),
    ):
        with subtests.test(asked):
            assert read_vocabulary().without_related(words, asked) == left


def test_relations_are_followed_to_their_end_and_circles_end():
    chain = {"a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset({"a"})}
    assert Vocabulary((), {}, chain).related("a") == {"a", "b", "c"}


def test_the_table_has_each_word_once_in_lower_case_and_no_word_below_itself(subtests):
    table = read_vocabulary()
    assert len(set(table.words)) == len(table.words) > 20
    for word, names in table.narrower.items():
        with subtests.test(word):
            assert word not in names
            assert {word, *names} == {name.strip().casefold() for name in (word, *names)}
