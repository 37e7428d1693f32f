"""What is held of dialogues and images within a bound of bytes: what goes first, and what never goes."""

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from MediRoundLib.held import Held, image_key

IMAGE, OWN = 100, 10


class Holding:
    """Images of 100 bytes and dialogues of 10 more, all told by one letter."""

    def __init__(self, names: str = "") -> None:
        self.held = Held()
        for name in names:
            self.open(name, name.upper())

    def encode(self, name: str) -> None:
        self.held.add_image(name.encode(), SimpleNamespace(nbytes=IMAGE))  # type: ignore[arg-type]

    def open(self, name: str, image: str) -> None:
        if self.held.image(image.encode()) is None:
            self.encode(image)
        dialogue: Any = SimpleNamespace(nbytes=IMAGE + OWN, rounds=[])
        self.held.add(name, dialogue, image.encode())

    def left(self, names: str) -> str:
        """Which of these are held; looking is no use of them."""
        keys = self.held._entries
        return "".join(name for name in names if (name if name.islower() else name.encode()) in keys)


@pytest.mark.parametrize(
    ("room", "left"),
    [
        (3 * (IMAGE + OWN), "ABCabc"),
        (3 * (IMAGE + OWN) - 1, "ABCac"),  # b's own bytes are enough
        (2 * (IMAGE + OWN), "ACac"),
        (IMAGE + OWN, "Aa"),
        (0, "Aa"),
    ],
)
def test_the_longest_unused_goes_first(room: int, left: str) -> None:
    holding = Holding("abc")
    assert holding.held.dialogue("a") is not None
    holding.held.keep_within(room)
    assert holding.left("ABCabc") == left


def test_an_image_is_counted_once_and_stays_as_long_as_a_dialogue_about_it() -> None:
    holding = Holding("a")
    holding.open("b", "A")
    holding.open("c", "C")
    assert holding.held.nbytes == 2 * IMAGE + 3 * OWN
    holding.held.dialogue("b")
    holding.held.keep_within(2 * IMAGE + 2 * OWN)
    assert holding.left("ACabc") == "ACbc"
    holding.held.drop("b")
    assert holding.left("ACabc") == "ACc"
    holding.held.keep_within(IMAGE + OWN)
    assert holding.left("ACabc") == "Cc"


def test_an_image_that_was_encoded_ahead_leaves_the_running_dialogue_alone() -> None:
    holding = Holding("ab")
    holding.encode("X")
    holding.encode("Y")
    holding.held.keep_within(2 * IMAGE + OWN)
    assert holding.left("ABXYab") == "BYb"
    holding.held.keep_within(IMAGE + OWN)
    assert holding.left("ABXYab") == "Bb"
    holding = Holding()
    holding.encode("X")
    holding.held.keep_within(0)
    assert holding.left("X") == ""


def test_everything_else_is_forgotten_where_memory_is_full() -> None:
    holding = Holding("ab")
    holding.open("c", "A")
    assert holding.held.keep_only("a")
    assert holding.left("ABabc") == "Aa"
    assert not holding.held.keep_only("a")
    assert holding.held.keep_only("new")
    assert holding.left("ABabc") == ""


def test_what_is_not_held() -> None:
    held = Holding("a").held
    assert (held.dialogue("b"), held.image(b"b"), held.rounds("b"), held.rounds(["a"])) == (None, None, None, None)
    assert held.rounds("a") == 0
    held.drop("b")


@pytest.mark.parametrize("seed", range(5))
def test_a_dialogue_never_loses_its_image(seed: int) -> None:
    chance = random.Random(seed)
    holding = Holding()
    for _ in range(300):
        act, name = chance.randrange(5), chance.choice("abcdef")
        if act == 0:
            holding.held.drop(name)
            holding.open(name, chance.choice("ABC"))
        elif act == 1:
            holding.held.dialogue(name)
        elif act == 2 and not holding.left(name.upper()):
            holding.encode(name.upper())
        elif act == 3:
            holding.held.image(name.upper().encode())
        else:
            holding.held.keep_within(chance.choice((0, 150, 250, 350)))
        assert all(entry.key in holding.held._entries for entry in holding.held._entries.values())


def test_keys_tell_images_apart() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 6)
    images = [image, image.reshape(6, 2), image + np.uint8(1), image.view(np.int8), np.stack([image] * 3, axis=2)]
    assert len({image_key(one) for one in images}) == len(images)
    assert image_key(np.asfortranarray(image)) == image_key(image.copy())
