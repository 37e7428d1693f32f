"""The optional rewriting of questions: what is sent, what is taken, and that the templates' words stay otherwise."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest

from training.data.dialogues import build_dialogue
from training.data.phantoms import draw_phantom
from training.data.rewrite import KEY_VARIABLE, PATIENCE, Rewriter
from training.data.rounds import Dialogue, Turn

MASK = np.ones((2, 2), bool)


def turn(query: str, entity: str, reference: int | None = None, relation: str = "direct") -> Turn:
    return Turn(query, "It is [SEG].", MASK, reference, relation, entity)


DIALOGUE = Dialogue(
    [
        turn("Please segment the left kidney.", "left kidney"),
        turn("Outline the other kidney based on the output of round 1.", "right kidney", 0, "other"),
        turn("Segment the vertebra above it.", "vertebra L1", 1, "previous"),
    ],
    "en",
)


class Model:
    """An OpenAI-compatible address on this machine; `says` makes an answer of a question."""

    def __init__(self) -> None:
        self.says: Callable[[str], Any] = str
        self.status = 200
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                model.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                model.headers.append({"path": self.path, **dict(self.headers)})
                content = model.says(model.bodies[-1]["messages"][1]["content"])
                reply = (
                    content
                    if isinstance(content, bytes)
                    else json.dumps({"choices": [{"message": {"content": content}}]}).encode()
                )
                self.send_response(model.status)
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/"


@pytest.fixture
def model() -> Iterator[Model]:
    found = Model()
    thread = Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def queries(dialogue: Dialogue) -> list[str]:
    return [each.query for each in dialogue.turns]


def test_good_words_are_taken_and_nothing_else_changes(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")

    def says(text: str) -> str:
        if "left kidney" not in text and text.startswith("Please"):
            return "Kindly draw the <A> for me."
        if "other" in text:
            return '"Draw me the other kidney based on the output of <A>, please."'
        return "Show me the vertebra just above it."

    model.says = says
    rewriter = Rewriter(model.url, "some-model")
    found = rewriter(DIALOGUE)
    assert queries(found) == [
        "Kindly draw the left kidney for me.",
        "Draw me the other kidney based on the output of round 1, please.",
        "Show me the vertebra just above it.",
    ]
    assert [replace(new, query="") for new in found.turns] == [replace(old, query="") for old in DIALOGUE.turns]
    assert rewriter.refused == 0
    assert model.headers[0]["path"] == "/v1/chat/completions"
    assert model.headers[0]["Authorization"] == "Bearer secret"
    assert model.bodies[0]["model"] == "some-model"


def test_only_words_are_sent_and_names_are_hidden(model: Model) -> None:
    Rewriter(model.url, "m")(DIALOGUE)
    sent = [body["messages"][1]["content"] for body in model.bodies]
    assert sent[0] == "Please segment the <A>."
    assert "round 1" not in sent[1]
    assert all(set(body) == {"model", "messages", "temperature", "max_tokens"} for body in model.bodies)


@pytest.mark.parametrize(
    "answer",
    [
        "Show the kidney.",  # the mark is gone
        "Show <A> and <A>.",
        "Show <A> and <B>.",
        "Show the <A> [SEG].",
        "Show the <A>\nand more.",
        "请分割<A>。",  # another language
        "Show the <A> left of it.",  # another direction
        "Show the next <A>.",
        "x" * 400 + "<A>",
        "",
        b"no JSON",
        b'{"choices": []}',
        None,
    ],
)
def test_bad_words_leave_the_templates(model: Model, answer: Any) -> None:
    model.says = lambda text: answer
    rewriter = Rewriter(model.url, "m")
    only = replace(DIALOGUE, turns=DIALOGUE.turns[:1])
    assert queries(rewriter(only)) == queries(only)
    assert rewriter.refused == 1


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        ("Segment the vertebra that lies above it.", True),
        ("Segment the vertebra below it.", False),
        ("Segment a vertebra above.", False),  # leans on nothing as the engine reads it
        ("Segment the vertebra above instance 1.", False),
        ("Segment the vertebra above instance 9.", False),
    ],
)
def test_the_round_and_the_direction_must_stay(model: Model, answer: str, taken: bool) -> None:
    model.says = lambda text: answer if "above" in text else "no mark"
    found = Rewriter(model.url, "m")(DIALOGUE)
    assert found.turns[2].query == (answer if taken else DIALOGUE.turns[2].query)
    assert queries(found)[:2] == queries(DIALOGUE)[:2]


def test_an_address_that_fails_is_left_alone(model: Model) -> None:
    model.status = 500
    rewriter = Rewriter(model.url, "m")
    with pytest.warns(UserWarning, match="does not answer"):
        found = [rewriter(DIALOGUE) for _ in range(4)]
    assert found == [DIALOGUE] * 4
    assert len(model.bodies) == PATIENCE
    assert rewriter.refused == 12


def test_nobody_at_the_address() -> None:
    rewriter = Rewriter("http://127.0.0.1:9/v1", "m")
    assert queries(rewriter(DIALOGUE)) == queries(DIALOGUE)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_mirror_changes_nothing(model: Model, language: Any) -> None:
    """A model that says what it is told is taken for nearly all that templates say, in both languages."""
    rewriter, asked = Rewriter(model.url, "m"), 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        dialogue = build_dialogue(draw_phantom(rng, 96), rng, language)
        assert dialogue is not None
        assert queries(rewriter(dialogue)) == queries(dialogue)
        asked += len(dialogue.turns)
    assert rewriter.refused < 0.1 * asked
    hidden = [body["messages"][1]["content"] for body in model.bodies]
    assert sum(bool(re.search("<A>", text)) for text in hidden) > 0.5 * asked
