"""The structures of `tables/entities.toml`, `chains.toml` and `attributes.toml`: names and how they relate."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Language = Literal["en", "zh"]
TABLES = Path(__file__).parent / "tables"
TABLE = TABLES / "entities.toml"
_SIDES = {"left": "左", "right": "右"}
_REGIONS = {"C": "颈椎", "T": "胸椎", "L": "腰椎", "S": "骶椎"}
_FIRST_SIX = ("first", "second", "third", "fourth", "fifth", "sixth")
_ORDINALS = (*_FIRST_SIX, "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth")


@dataclass(frozen=True)
class Entity:
    """One structure.

    Attributes:
        key: the canonical English name.
        names: for each language the names one may ask for; the first is the usual one.
        nouns: what it is one of, without its side or level: "kidney" of "left kidney", "vertebra" of "vertebra L4".
        pair: key of the same structure on the other side, or "".
        chain: name of the chain it is a link of, or "".
        organs: keys of what it can lie in or be a part of.
        lesion: True for disease.
    """

    key: str
    names: Mapping[Language, tuple[str, ...]]
    nouns: Mapping[Language, tuple[str, ...]]
    pair: str = ""
    chain: str = ""
    organs: tuple[str, ...] = ()
    lesion: bool = False


@dataclass(frozen=True)
class Attribute:
    """A description of `target` by its function or place relative to `reference`; {ref} stands for the reference."""

    reference: str
    target: str
    phrases: Mapping[Language, tuple[str, ...]]


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in (TABLE, TABLES / "chains.toml", TABLES / "attributes.toml"):
        found |= tomllib.loads(path.read_text(encoding="utf-8"))
    return found


@cache
def entities() -> Mapping[str, Entity]:
    """All entities by key."""
    found = [*_singles(), *_sided(), *_links()]
    return {entity.key: entity for entity in found}


@cache
def entity_ids() -> Mapping[str, int]:
    """A number from 0 for each entity, in alphabetical order of the keys."""
    return {key: number for number, key in enumerate(sorted(entities()))}


def entity_key(label: str) -> str:
    """The canonical key of a data set's label: "kidney_right" -> "right kidney", "vertebrae L4" -> "vertebra L4".

    Raises:
        KeyError: the label is not in the table, with the words to add it.
    """
    alias: dict[str, str] = _table()["alias"]
    words = label.replace("_", " ").casefold().replace("tumour", "tumor").split()
    side = next((word for word in words if word in _SIDES), "")
    core = " ".join(word for word in words if word not in _SIDES)
    guesses = [" ".join(words), f"{side} {core}", f"{side} {alias.get(core, core)}"]
    if not side:
        guesses.append(alias.get(core, core))
    elif words[0] == "rib" and len(words) == 3:
        guesses.append(f"{side} rib {words[-1]}")
    if words[:1] == ["vertebrae"]:
        guesses.append(f"vertebra {words[-1]}")
    for guess in guesses:
        if guess in _keys():
            return _keys()[guess]
    raise KeyError(f"No entity for the label {label!r}; add it, or an alias for it, to {TABLE.name}.")


@cache
def _keys() -> Mapping[str, str]:
    """The key of every English name in small letters."""
    return {name.casefold(): entity.key for entity in entities().values() for name in entity.names["en"]}


@cache
def chains() -> Mapping[str, tuple[str, ...]]:
    """For each chain the keys of its links, from head to feet."""
    return {
        name: tuple(row["key"].format(level=level) for level in row["levels"])
        for name, row in _table()["chains"].items()
    }


@cache
def wholes() -> Mapping[str, tuple[str, ...]]:
    """For each structure that is the union of its parts the keys of these; a whole may be part of a later one."""
    return {whole: tuple(parts) for whole, parts in _table()["wholes"].items()}


def neighbour(key: str, step: int) -> str:
    """The link `step` places further down its chain (-1: the one above), or "" where there is none."""
    chain = entities()[key].chain
    if not chain:
        return ""
    links = chains()[chain]
    place = links.index(key) + step
    return links[place] if 0 <= place < len(links) else ""


@cache
def attributes() -> tuple[Attribute, ...]:
    """All descriptions of one structure by another, those of discs between vertebrae among them."""
    found = []
    for row in _table()["attribute"]:
        phrases: dict[Language, tuple[str, ...]] = {"en": tuple(row["en"]), "zh": tuple(row["zh"])}
        for side in _SIDES if "{side}" in row["from"] else ("",):
            found.append(Attribute(row["from"].replace("{side}", side), row["to"].replace("{side}", side), phrases))
    disc, bone = "intervertebral disc", "vertebra"
    for key in chains()["disc"]:
        upper, lower = (f"vertebra {level}" for level in key.split(" ")[0].split("-"))
        for reference, target, en, zh in (
            (upper, key, f"the {disc} directly below {{ref}}", "{ref}正下方的椎间盘"),
            (lower, key, f"the {disc} directly above {{ref}}", "{ref}正上方的椎间盘"),
            (key, upper, f"the {bone} directly above {{ref}}", "{ref}正上方的椎骨"),
            (key, lower, f"the {bone} directly below {{ref}}", "{ref}正下方的椎骨"),
        ):
            found.append(Attribute(reference, target, {"en": (en,), "zh": (zh,)}))
    return tuple(found)


def _singles() -> Iterator[Entity]:
    for key, row in _table()["single"].items():
        names: dict[Language, tuple[str, ...]] = {"en": (key, *row.get("en", ())), "zh": tuple(row["zh"])}
        yield Entity(key, names, names, organs=tuple(row.get("organ", ())), lesion=row.get("lesion", False))


def _sided() -> Iterator[Entity]:
    for noun, row in _table()["sided"].items():
        nouns: dict[Language, tuple[str, ...]] = {
            "en": (noun, *(name for name in row.get("en", ()) if "{side}" not in name)),
            "zh": tuple(row["zh"]),
        }
        for side, other in (("left", "right"), ("right", "left")):
            english = [name if "{side}" in name else f"{{side}} {name}" for name in (noun, *row.get("en", ()))]
            chinese = [mark + name for name in row["zh"] for mark in (_SIDES[side], _SIDES[side] + "侧")]
            names: dict[Language, tuple[str, ...]] = {
                "en": tuple(name.replace("{side}", side) for name in english),
                "zh": tuple(chinese),
            }
            organs = tuple(organ.replace("{side}", side) for organ in row.get("organ", ()))
            yield Entity(f"{side} {noun}", names, nouns, pair=f"{other} {noun}", organs=organs)


def _links() -> Iterator[Entity]:
    for chain, row in _table()["chains"].items():
        nouns: dict[Language, tuple[str, ...]] = {lang: tuple(row["noun"][lang]) for lang in ("en", "zh")}
        for level in row["levels"]:
            key = row["key"].format(level=level)
            words = {"level": level, "zh": _numbered(level), "ordinal": _ordinal(level)}
            names: dict[Language, tuple[str, ...]] = {
                "en": (key, *(name.format(**words) for name in row["en"])),
                "zh": tuple(name.format(**words) for name in row["zh"]),
            }
            organs = row.get("organ", {}).get(level[0], ())
            yield Entity(key, names, nouns, chain=chain, organs=tuple(organs))


def _numbered(level: str) -> str:
    """ "L4" -> "第4腰椎"; anything else as it is."""
    return f"第{level[1:]}{_REGIONS[level[0]]}" if level[0] in _REGIONS and level[1:].isdigit() else level


def _ordinal(level: str) -> str:
    return _ORDINALS[int(level) - 1] if level.isdigit() else level
