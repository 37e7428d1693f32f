"""Put a trained model where it ships, with a model card whose numbers come from its evaluation.

    python -m training.publish --run runs/tiny --evaluation runs/tiny/evaluation --report runs/tiny/report --out DIR

The card's template in `training/cards` has a place for each number; a report that it names and that is not there, or
is of other weights, is refused.
"""

import argparse
import json
import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from MediRoundLib.errors import MediRoundError
from training.evaluate import as_markdown
from training.provenance import weights_digest
from training.recipe import PHASES, Recipe, load_recipe
from training.tables import markdown_of

CARDS = Path(__file__).parent / "cards"


def count_parameters(weights: Path) -> int:
    """Numbers in a safetensors file."""
    with safe_open(weights, "pt") as tensors:
        shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118 (no mapping)
    return sum(math.prod(shape) for shape in shapes)


def quality_sentence(results: dict[str, Any]) -> str:
    """What the judge's scores are worth, in words."""
    found = results["with JCM"]
    sentences = []
    with_jcm, without = found["all"]["dice"], results["without JCM"]["all"]["dice"]
    if with_jcm < without:
        sentences.append(
            f"Correction makes this model's masks worse ({100 * with_jcm:.1f} against {100 * without:.1f} Dice): "
            "ask with `--no-jcm` for its best."
        )
    if found["quality_correlation"] is not None:
        sentences.append(f"Correlation of the quality score with the true IoU: {found['quality_correlation']:.2f}.")
    if absent := found.get("absent"):
        empty = 100 * absent["left_empty"]
        sentences.append(
            f"Asked for {absent['n']} structures not in the image, it left {empty:.0f} % of the masks empty."
        )
        if absent["auroc"] is not None:
            sentences.append(f"Quality tells present from absent structures with an AUROC of {absent['auroc']:.2f}.")
    return " ".join(sentences)


def phases_sentence(recipe: Recipe) -> str:
    """The steps of each phase, in words."""
    units = {"pretrain": "images", "align": "dialogues", "stage1": "dialogues", "stage2": "dialogues"}
    parts = [
        f"{name} {recipe.phases[name].steps} steps of {recipe.phases[name].batch} {units[name]}"
        for name in PHASES
        if name in recipe.phases
    ]
    return ", ".join(parts)


def read_measured(path: Path, digest: str) -> dict[str, Any]:
    """What an evaluation or a report wrote.

    Raises:
        MediRoundError: it is missing, of other weights, or not asked as users ask.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MediRoundError(f"{path} is missing or no JSON; train, evaluate and report first.") from error
    if content.get("weights") != digest:
        raise MediRoundError(f"{path} was measured with other weights than the run's; evaluate and report again.")
    if content.get("protocol") != "causal":
        raise MediRoundError(f"{path} was not measured with the protocol causal, of which the card speaks.")
    return content


class Reports(dict[str, str]):
    """Name of a report to its tables in Markdown, read from `folder` where a card asks for it.

    "NAME 2" is its first two tables alone.
    """

    def __init__(self, folder: Path | None, digest: str) -> None:
        super().__init__()
        self._folder, self._digest = folder, digest

    def __missing__(self, asked: str) -> str:
        name, _, count = asked.partition(" ")
        if self._folder is None:
            raise MediRoundError(f"The card holds the report {name}; give its folder with --report.")
        tables = read_measured(self._folder / f"{name}.json", self._digest)["tables"]
        return "\n".join(markdown_of(table) for table in tables[: int(count) if count else None])


def _card(run: Path, evaluation: Path, report: Path | None) -> str:
    """The card of a run's model; raises MediRoundError where something was not made or measured."""
    recipe, weights = load_recipe(str(run / "recipe.toml")), run / "model" / "model.safetensors"
    if not weights.exists():
        raise MediRoundError(f"{weights} is missing; train first.")
    digest = weights_digest(run / "model")
    results = read_measured(evaluation / "results.json", digest)["asked"]
    template = (CARDS / f"{recipe.name}.md").read_text(encoding="utf-8")
    return template.format(
        parameters=f"{count_parameters(weights) / 1e6:.1f}",
        megabytes=f"{weights.stat().st_size / 1e6:.1f}",
        digest=digest,
        phases=phases_sentence(recipe),
        command="`python -m training.evaluate --model MODEL --data ROOT --out OUT`",
        tables=as_markdown(results),
        quality=quality_sentence(results),
        report=Reports(report, digest),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.publish", description="Ship a trained model with its card."
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of the run; its model/ is shipped")
    parser.add_argument("--evaluation", type=Path, required=True, help="what training.evaluate wrote about that model")
    parser.add_argument("--report", type=Path, help="what training.report and training.baseline wrote about it")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    try:
        card = _card(args.run, args.evaluation, args.report)
    except MediRoundError as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    model = args.run / "model"
    shutil.copytree(model, args.out, dirs_exist_ok=True)
    shutil.copy(args.evaluation / "rounds.png", args.out / "rounds.png")
    (args.out / "README.md").write_text(card, encoding="utf-8", newline="\n")
    print(f"Shipped in {args.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
