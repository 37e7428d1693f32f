"""What the panel says of the engine's failures."""

import pytest
from MediRoundSlicerLib import EngineTexts


@pytest.mark.parametrize(
    ("code", "message", "shown"),
    [
        (
            "settings",
            "There is no cuda:7: 0 CUDA devices can be used here; use --device cpu.",
            "There is no cuda:7: 0 CUDA devices can be used here; choose another device or precision in the settings.",
        ),
        ("settings", "No such type.", "No such type; choose another device or precision in the settings."),
        ("query", "The query is empty; type one.", "The query is empty; type one."),
    ],
)
def test_failures_are_said_in_the_words_of_the_panel(code: str, message: str, shown: str) -> None:
    assert EngineTexts.failure(code, message) == shown


def test_memory_names_the_settings() -> None:
    shown = EngineTexts.failure("memory", "cuda:0 ran out of memory; run on the CPU (--device cpu).")
    assert "in the settings" in shown
    assert "--" not in shown
