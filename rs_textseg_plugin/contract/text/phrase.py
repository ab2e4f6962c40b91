"""Referring phrases that geometry can answer: a small grammar, and what of a phrase it does not understand.

::

    phrase     = described { relation }
    described  = [ the | a | an | all | every ] [ [ count ] superlative [ count ] ] words
    superlative = largest | biggest | smallest | northernmost | southernmost | easternmost | westernmost
    count      = 2, 3, ... | two ... ten                        without one it is one object
    relation   = [ , | and | but ] [ that is | that are | which is | ... ] [ not ] where described
    where      = within 50 m of | near | inside | outside       also km, metres, close to, inside of, ...

Words are looked for as they are typed, ``|`` separating aliases. *near* is within 50 m. The superlative of the phrase
is applied to what the relations leave; that of a relation to all objects of its kind. Relations all have to hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rs_textseg_plugin.contract.errors import QueryError, shown
from rs_textseg_plugin.contract.query import Query, parse_class_list, parse_phrase
from rs_textseg_plugin.contract.tables.pipeline_info import PipelineInfo

NEAR_M = 50.0

SUPERLATIVES = ("largest", "smallest", "northernmost", "southernmost", "easternmost", "westernmost")
_SYNONYMS = {"biggest": "largest"}
_NUMBERS = {
    word: count
    for count, word in enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), start=2)
}
_METRES = {"k": 1000.0, "m": 1.0}  # by the first letter of the unit

_COUNT = rf"[1-9]\d{{0,5}}|{'|'.join(_NUMBERS)}"
_DESCRIBED = re.compile(
    rf"""(?:(?:the|a|an|all|every)\s+)?
    (?:(?:(?P<before>{_COUNT})\s+)?(?P<superlative>{"|".join((*SUPERLATIVES, *_SYNONYMS))})\s+
       (?:(?P<after>{_COUNT})\s+)?)?
    (?P<words>\S.*)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_RELATION = re.compile(
    r"""(?:^|[\s,]+)(?:(?:and|but)\s+)?(?:(?:that|which)\s+(?:is|are|lies?)\s+)?(?P<negated>not\s+)?
    (?:within\s+(?P<length>\d+(?:\.\d+)?)\s*(?P<unit>km|kilomet(?:re|er)s?|m|met(?:re|er)s?)\s+(?:of|from)
      |(?P<near>near(?:\s+to)?|close\s+to)
      |(?P<side>inside|outside)(?:\s+of)?)\s+""",
    re.IGNORECASE | re.VERBOSE,
)
# Words that say where or which, and that this grammar does not know.
_NOT_READ = re.compile(
    r"\b(above|across|adjacent|along|among|around|behind|below|beneath|beside|between|beyond|bottom|by|closest|corner"
    r"|east|except|farthest|furthest|first|from|front|in|inside|last|left|longest|middle|near|nearest|next|north|not|on"
    r"|opposite|or|outside|over|right|second|shortest|south|than|third|through|top|touching|under|west|with|within|without"
    rf"|{'|'.join((*SUPERLATIVES, *_SYNONYMS))})\b",
    re.IGNORECASE,
)
_EXAMPLE = 'for example "the largest building within 50 m of a road"'


@dataclass(frozen=True)
class Described:
    """Objects that are meant.

    Attributes:
        words: what is looked for, aliases separated by ``|``.
        superlative: one of `SUPERLATIVES`; empty: all of them.
        count: how many of the superlative.
    """

    words: str
    superlative: str = ""
    count: int = 1

    @property
    def name(self) -> str:
        """The class that stands for these words."""
        return self.words.split("|")[0].strip()

    def __str__(self) -> str:
        how_many = f"{self.count} " if self.count > 1 else ""
        return f"the {how_many}{self.superlative} '{self.words}'" if self.superlative else f"'{self.words}'"


@dataclass(frozen=True)
class Relation:
    """Where objects lie.

    Attributes:
        kind: ``within`` (a distance) or ``inside``.
        others: what they lie near or in.
        negated: whether that is where they do not lie.
        distance_m: of ``within``.
    """

    kind: str
    others: Described
    negated: bool = False
    distance_m: float = 0.0

    def __str__(self) -> str:
        where = f"within {self.distance_m:g} m of" if self.kind == "within" else "inside"
        return f"{'not ' if self.negated else ''}{where} {self.others}"


@dataclass(frozen=True)
class ParsedPhrase:
    """How a phrase was understood.

    Attributes:
        target: what the result holds.
        relations: all of which have to hold.
    """

    target: Described
    relations: tuple[Relation, ...] = ()

    @property
    def not_read(self) -> tuple[str, ...]:
        """Words that probably say where or which, and were taken for a part of what to look for."""
        described = (self.target, *(relation.others for relation in self.relations))
        return tuple(
            dict.fromkeys(word.lower() for phrase_part in described for word in _NOT_READ.findall(phrase_part.words))
        )

    def __str__(self) -> str:
        where = " and ".join(map(str, self.relations))
        return f"{self.target} {where}".rstrip()


def read_phrase(text: str) -> ParsedPhrase:
    """Read a referring phrase.

    Raises:
        QueryError: nothing to look for, or a relation without anything that it relates to.
    """
    phrase = " ".join(text.split()).rstrip(" .?!")
    found = list(_RELATION.finditer(phrase))
    stops = [*(match.start() for match in found[1:]), len(phrase)]
    target = _read_described(phrase[: found[0].start()] if found else phrase, phrase)
    relations = (_read_relation(match, phrase[match.end() : stop], phrase) for match, stop in zip(found, stops))
    return ParsedPhrase(target, tuple(relations))


def parse_referring_expression(text: str) -> Query:
    """Return a query that looks for everything a phrase names, the target first; the phrase goes with it.

    Raises:
        QueryError: as `read_phrase`.
    """
    reading = read_phrase(text)
    named: dict[str, str] = {}
    for described in (reading.target, *(relation.others for relation in reading.relations)):
        named.setdefault(described.name.casefold(), described.words)
    return Query(text.strip(), parse_class_list(", ".join(named.values())).classes, phrase=text.strip())


def parse_phrase_for(info: PipelineInfo, text: str) -> Query:
    """Return the query that a phrase is for one pipeline: read by this grammar, or left to a language model.

    Raises:
        QueryError: as `read_phrase` or `parse_phrase`, or the pipeline answers class lists only.
    """
    if info.takes == "phrase":
        return parse_phrase(text)
    if info.answers_phrases:
        return parse_referring_expression(text)
    raise QueryError(
        f"The pipeline {info.name} answers class lists, no phrases: give a class list, or choose another pipeline."
    )


def _read_relation(match: re.Match[str], rest: str, phrase: str) -> Relation:
    others, negated = _read_described(rest, phrase), bool(match["negated"])
    if match["side"]:
        return Relation("inside", others, negated != (match["side"].lower() == "outside"))
    distance_m = NEAR_M if match["near"] else float(match["length"]) * _METRES[match["unit"][0].lower()]
    return Relation("within", others, negated, distance_m)


def _read_described(text: str, phrase: str) -> Described:
    match = _DESCRIBED.fullmatch(text.strip(" ,"))
    words = re.sub(r"[,;\n]", " ", match["words"]) if match else ""
    words = "|".join(filter(None, (" ".join(alias.split()) for alias in words.split("|")))).lstrip("- ")
    if match is None or not words or words == "*":
        raise QueryError(
            f"The phrase {shown(phrase)} does not say what to look for or near what: write it in full, {_EXAMPLE}."
        )
    superlative = (match["superlative"] or "").lower()
    count = (match["before"] or match["after"] or "1").lower()
    return Described(words, _SYNONYMS.get(superlative, superlative), _NUMBERS.get(count) or int(count))
