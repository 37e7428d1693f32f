"""python -m training.bench: samples a second of a stage 1 step, beside the released way of the same step.

Same weights and batch, forward and backward, one after the other in turn. The released way encodes one image after the
other by segment-anything's own code, draws all of the decoder's masks, and puts every position through the vocabulary.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from MediRoundLib.bench import hardware
from MediRoundLib.devices import choose_device, choose_dtype
from MediRoundLib.modeling import MediRound
from MediRoundLib.recompute import StockModel
from MediRoundLib.shapes import SHAPES, random_checkpoint
from MediRoundLib.text import first_turn, query_turn
from training import step
from training.data.phantoms import draw_phantom
from training.examples import ExampleMaker, TaughtRound
from training.losses import language_loss
from training.step import Example, LossWeights

ANSWER = "Sure, it is [SEG]."
# The two ways' losses may differ by so large a part of them.
LIMIT = 1e-4
_FROZEN = (
    "llava.model.vision_tower.",
    "llava.model.multi_modal_projector.",
    "sam.image_encoder.",
    "sam.prompt_encoder.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.bench", description=__doc__)
    parser.add_argument("--size", choices=tuple(SHAPES), default="tiny", help="random weights of these sizes")
    parser.add_argument("--batch", type=int, default=8, help="dialogues in a step; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=4, help="of each dialogue; default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for all numbers")
    args = parser.parse_args(arguments)
    found = bench(args.size, args.batch, args.rounds, args.repeats, args.device)
    print(report(found))
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if found["equal"] else 2


def bench(size: str, count: int, rounds: int, repeats: int, device: str = "cpu") -> dict[str, Any]:
    """Seconds of a step in both ways (medians), and how far their losses are apart, as a part of them."""
    where = choose_device(device)
    queries = ["Segment the liver.", "Segment the next structure with reference to instance 1."]
    checkpoint = random_checkpoint(SHAPES[size], queries, where, choose_dtype("float32", where))
    model = checkpoint.model.to(where)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith((*_FROZEN, "judge.", "corrector.")))
    maker = ExampleMaker(checkpoint.config, checkpoint.tokenizer)
    batch = [_example(maker, seed, rounds, queries) for seed in range(count)]
    ways: dict[str, Callable[[], Tensor]] = {
        "stage 1": lambda: step.stage1_loss(model, batch)["loss"],
        "released": lambda: released_loss(model, batch),
    }
    samples: dict[str, list[float]] = {way: [] for way in ways}
    losses: dict[str, float] = {}
    for k in range(repeats + 1):  # the first one is not counted
        for way, loss in ways.items():
            taken, losses[way] = _timed(model, loss)
            if k:
                samples[way].append(taken)
    difference = abs(losses["stage 1"] - losses["released"]) / abs(losses["released"])
    return {
        "size": size,
        "batch": count,
        "rounds": rounds,
        "repeats": repeats,
        "hardware": hardware(where),
        "seconds": {way: median(each) for way, each in samples.items()},
        "losses": losses,
        "difference": difference,
        "equal": difference <= LIMIT,
    }


class _Released(StockModel):
    """The model by its authors' code, images encoded one by one; what has no other way is the model's own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode_image(self, pixels: Tensor) -> Tensor:
        return torch.cat([super(_Released, self).encode_image(one[None]) for one in pixels])

    def think(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._model.think(embeddings, mask)


def released_loss(model: MediRound, batch: Sequence[Example]) -> Tensor:
    """`step.stage1_loss` with the work of the released step."""
    stock, weights = cast(MediRound, _Released(model)), LossWeights()
    embeddings = stock.encode_image(step._stack([example.sam_pixels for example in batch], model))
    hidden = step._think(stock, batch, len(batch))
    rows = [step._expand(example.labels, example.ids, model, step.IGNORED) for example in batch]
    labels = step._padded(rows, step.IGNORED, model)[:, 1:]
    logits = stock.vocabulary_logits(hidden)[:, :-1].float()
    counted = labels != step.IGNORED
    ce_loss = weights.language * language_loss(logits[counted], labels[counted])
    features = step._features(stock, batch, hidden)
    drawn = [
        stock.upscale(stock.decode(embeddings[k : k + 1], features[k]), example.resized, _size(example))
        for k, example in enumerate(batch)
    ]
    masks = step._mask_terms(drawn, [step._targets(example, model) for example in batch], weights)
    return ce_loss + masks["mask_loss"]


def _size(example: Example) -> tuple[int, int]:
    height, width = example.targets.shape[-2:]
    return height, width


def _example(maker: ExampleMaker, seed: int, rounds: int, queries: Sequence[str]) -> Example:
    """A dialogue about a drawn image; every round leans on the one before."""
    rng = np.random.default_rng(seed)
    image = draw_phantom(rng, kind="abdomen").image
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    places = rng.integers(60, 190, (rounds, 2))
    masks = [(rows - row) ** 2 + (columns - column) ** 2 < 900 for row, column in places]
    taught = [
        TaughtRound(query_turn(queries[min(k, 1)], k > 0), ANSWER, masks[k], masks[k - 1] if k else None)
        for k in range(rounds)
    ]
    taught[0] = TaughtRound(first_turn(taught[0].turn), ANSWER, masks[0])
    return maker(image, taught)


def _timed(model: MediRound, loss: Callable[[], Tensor]) -> tuple[float, float]:
    """Seconds of one step, forward and backward, and its loss."""
    model.zero_grad(set_to_none=True)
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    started = time.perf_counter()
    value = loss()
    value.backward()
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter() - started, float(value.detach())


def report(found: dict[str, Any]) -> str:
    """The numbers as Markdown."""
    seconds, machine = found["seconds"], found["hardware"]
    rates = {way: found["batch"] / taken for way, taken in seconds.items()}
    return f"""\
{found["size"]}: steps of {found["batch"]} dialogues of {found["rounds"]} rounds, float32, medians of {found["repeats"]}
{machine["gpu"] or machine["cpu"]}; {machine["threads"]} of {machine["cores"]} threads

| way | samples a second | seconds a step |
| :-- | ---------------: | -------------: |
| stage 1 | {rates["stage 1"]:.1f} | {seconds["stage 1"]:.3f} |
| released | {rates["released"]:.1f} | {seconds["released"]:.3f} |

{rates["stage 1"] / rates["released"]:.2f} times as many; losses differ by {found["difference"]:.1g} of themselves \
({LIMIT:g} is allowed)"""


if __name__ == "__main__":
    raise SystemExit(main())
