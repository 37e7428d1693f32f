"""Ask a model many dialogues in one way or another, and sum up what came of it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from MediRoundLib.alone import plain_query
from MediRoundLib.engine import Engine
from MediRoundLib.evaluate import Record, Shown, causal, official, single_turn
from MediRoundLib.metrics import correlation, scores_by_round
from MediRoundLib.mr_medseg import Conversation
from MediRoundLib.scoring import KINDS, Scored, box_scores, grouped, scored
from MediRoundLib.words import language_of
from training.data.entities import Language, entities
from training.held_out import Sets
from training.retell import FIRST, Telling

Protocol = Literal["causal", "official", "single-turn"]
BINS = 10


@dataclass(frozen=True)
class Setting:
    """One way of asking.

    Attributes:
        name: what tables call it.
        jcm: whether poor features are corrected.
        shown: what the model sees of references; a part of one with the protocol `official` alone.
        threshold: beta; None for the model's own.
        telling: the words of the dialogues.
    """

    name: str
    protocol: Protocol = "causal"
    jcm: bool = True
    shown: Shown = "crop and box"
    threshold: float | None = None
    telling: Telling = FIRST


def ask_all(engine: Engine, sets: Sets, setting: Setting, problem: Callable[[str], None]) -> list[Scored]:
    """Ask every dialogue in one way; `problem` is told what is left out, with set, dialogue and turn."""
    asked: list[Scored] = []
    total = sum(len(each.turns) for conversations in sets.values() for each in conversations if each is not None)
    bar = tqdm(total=total, desc=setting.name, file=sys.stderr)
    sought = setting.protocol != "single-turn" and setting.shown != "nothing"
    own, engine.threshold = engine.threshold, engine.threshold if setting.threshold is None else setting.threshold
    try:
        for name, conversations in sets.items():

            def noted(found: str, name: str = name) -> None:
                problem(f"{name}, {found}")

            for record in _records(engine, conversations, setting, noted):
                one = scored(record, conversations[record.dialogue])
                found = one.found if sought else None
                asked.append(replace(one, found=found, labels={**one.labels, "source": name}))
                bar.update()
    finally:
        engine.threshold = own
        bar.close()
    return asked


def _records(
    engine: Engine, conversations: Sequence[Conversation | None], setting: Setting, problem: Callable[[str], None]
) -> Iterator[Record]:
    if setting.protocol == "official":
        stage = engine.config.stage if setting.jcm else 1
        return official(engine, conversations, stage, setting.shown, problem)
    if setting.protocol == "single-turn":
        return single_turn(engine, conversations, setting.jcm, known_name, problem)
    return causal(engine, conversations, setting.jcm, setting.shown != "nothing", problem)


def known_name(conversation: Conversation, k: int) -> str:
    """What a round asks for, in the language of its query; "" where the file does not say."""
    names = conversation.about.get("entities", ())
    entity = entities().get(names[k]) if k < len(names) else None
    if entity is None:
        return ""
    language: Language = "zh" if language_of(plain_query(conversation.turns[k].query)) == "zh" else "en"
    return entity.names[language][0]


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Probability that a value of `positive` exceeds one of `negative`, ties counting half; None where one is empty."""
    if not positive or not negative:
        return None
    return float(_wins(positive, negative).mean())


def auroc_error(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Its standard error (DeLong et al. 1988), for independent values; None where there are less than two of each."""
    if min(len(positive), len(negative)) < 2:
        return None
    wins = _wins(positive, negative)
    return float(np.sqrt(sum(wins.mean(axis).var(ddof=1) / wins.shape[1 - axis] for axis in (0, 1))))


def _wins(positive: Sequence[float], negative: Sequence[float]) -> NDArray[np.float64]:
    """(positive, negative): 1 where the first value exceeds the second, 1/2 where they are equal."""
    difference = np.subtract.outer(np.array(positive), np.array(negative))
    return (np.sign(difference) + 1) / 2


def there(asked: Sequence[Scored]) -> list[Scored]:
    """The rounds whose structure is in the image."""
    return [each for each in asked if each.overlap.truth]


def summarise(asked: Sequence[Scored]) -> dict[str, Any]:
    """Scores over everything, by round, by set and by group; how well quality tells good from poor, and absent ones.

    Structures that are not in the image are left out of Dice, gIoU and cIoU, and counted in `absent`.
    """
    present = there(asked)
    whole, rounds = scores_by_round([(each.round, each.overlap) for each in present])
    by = {kind: {name: asdict(own) for name, own in grouped(present, kind).items()} for kind in KINDS}
    quality = calibration(asked)
    result: dict[str, Any] = {
        "all": asdict(whole),
        "rounds": {number: asdict(own) for number, own in rounds.items()},
        "sets": by.pop("source"),
        "by": {kind: groups for kind, groups in by.items() if groups},
        "lost_references": sum(each.lost for each in asked),
        "quality_correlation": quality["correlation"],
        "calibration": quality,
    }
    if boxes := box_scores(present):
        result["boxes"] = boxes
    if absent := [each for each in asked if not each.overlap.truth]:
        result["absent"] = {
            "n": len(absent),
            "left_empty": sum(each.overlap.drawn == 0 for each in absent) / len(absent),
            "auroc": quality["auroc"],
        }
    return result


def reliability_bins(judged: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """Mean quality and IoU of rounds, given as pairs of the two, in equal bins of quality; empty ones are left out."""
    bins = []
    for k in range(BINS):
        inside = [(q, iou) for q, iou in judged if min(int(q * BINS), BINS - 1) == k]
        if inside:
            quality, iou = (float(np.mean(column)) for column in zip(*inside, strict=True))
            bins.append({"low": k / BINS, "high": (k + 1) / BINS, "n": len(inside), "quality": quality, "iou": iou})
    return bins


def calibration_error(bins: Sequence[dict[str, Any]]) -> float | None:
    """The mean gap between quality and IoU, weighted by count; None without rounds."""
    count = sum(each["n"] for each in bins)
    return sum(each["n"] * abs(each["quality"] - each["iou"]) for each in bins) / count if count else None


def calibration(asked: Sequence[Scored]) -> dict[str, Any]:
    """What quality scores are worth: mean quality and IoU in equal bins, their mean gap weighted by count ("ece"),
    Pearson's correlation with the IoU, and the AUROC that tells structures in the image from absent ones.
    """
    judged = [(each.quality, each.overlap.iou) for each in there(asked) if each.quality is not None]
    absent = [each.quality for each in asked if not each.overlap.truth and each.quality is not None]
    bins = reliability_bins(judged)
    return {
        "n": len(judged),
        "bins": bins,
        "ece": calibration_error(bins),
        "correlation": correlation([q for q, _ in judged], [iou for _, iou in judged]),
        "absent": len(absent),
        "auroc": auroc([q for q, _ in judged], absent),
    }
