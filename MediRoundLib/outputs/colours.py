"""One colour a round, told apart on grey images and by people with colour-blindness as well as a dozen can be."""

# (red, green, blue) 0..255; orange, blue and green first, as most dialogues have few rounds.
PALETTE = (
    (255, 159, 28),
    (64, 156, 255),
    (46, 196, 130),
    (255, 99, 132),
    (190, 130, 255),
    (255, 221, 87),
    (0, 204, 221),
    (255, 133, 214),
    (170, 214, 80),
    (150, 170, 255),
    (214, 140, 90),
    (120, 220, 200),
)


def colour_of(number: int) -> tuple[int, int, int]:
    """The colour of a round, numbered from 1; after the last they begin again."""
    return PALETTE[(number - 1) % len(PALETTE)]
