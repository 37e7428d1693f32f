"""What was measured, as Markdown that reads well in a terminal, too, and as a plot; times in milliseconds."""

from pathlib import Path
from typing import Any


def report(found: dict[str, Any]) -> str:
    """What `ways.bench` found, as Markdown."""
    growth, rounds = found["growth"], found["rounds"]
    by_round = _aligned(
        ["round", "tokens", "engine", "state", "released", "ratio", "so far", "ratio"],
        [
            [
                *(row["round"], row["tokens"], _ms(row["engine"]), row["state"]),
                *(_ms(row["released"]), f"{row['ratio']:.1f}", _ms(row["so_far"]), f"{row['ratio_so_far']:.1f}"),
            ]
            for row in found["by_round"]
        ],
    )
    breakdown = _aligned(
        ["way", *found["breakdown"]["cold"]],
        [[way, *map(_ms, own.values())] for way, own in found["breakdown"].items()],
    )
    apart = f"masks of engine and released have a mean Dice of {found['agreement']:.4f}"
    if found["agreement_limit"] is not None:
        apart += f" (at least {found['agreement_limit']:g} is asked in half precision)"
    if found["difference"] is not None and found["spread"] is not None:
        allowed = "" if found["limit"] is None else f"{found['limit']:g} is allowed; "
        apart += (
            f"; logits differ by at most {found['difference']:.2g} ({allowed}two rounds in a row differ by "
            f"{found['spread']:.2g} or more)"
        )
    floors = [
        f"- {way}: {own['multiple']:.1f} times the physical floor of {_ms(own['floor'])}, which is "
        f"{'within' if own['met'] else 'beyond'} the goal of {own['goal']:g}\n"
        for way, own in (found["floors"] or {}).items()
    ]
    known = [f"{way.replace('_', ' ')} {peak / 1e6:.0f} MB" for way, peak in found["peak"].items() if peak is not None]
    return f"""\
{found["model"]}: {found["parameters"] / 1e6:.1f} million parameters, {_setting(found)}

{by_round}

- engine: cold is opening the image and the first round, warm every later round
- released: the whole dialogue recomputed every round, as the released evaluation does; so far: without rounds to come
- growth, round {rounds} / round 2: engine {growth["engine"]:.2f}, released {growth["released"]:.2f}, \
so far {growth["so_far"]:.2f}
{"".join(floors)}\
- peak memory: {", ".join(known) or "unknown here"}
- {apart}

{breakdown}
"""


def report_few_bits(found: dict[str, Any]) -> str:
    """What `few_bits.bench_few_bits` found, as Markdown."""
    head = ["language model", "its MB", "all MB", "peak MB", "cold", "warm", "Dice", "least", "pixels alike", "quality"]
    rows = []
    for row in found["models"]:
        beside = row["beside"]
        apart = [f"{beside[key]:.4f}" for key in ("dice", "least_dice", "alike")] if beside else ["-"] * 3
        scored = beside is not None and beside["quality"] is not None
        rows.append(
            [
                row["bits"] or found["dtype"],
                *(f"{size / 1e6:.1f}" for size in (row["bytes"]["language"], row["bytes"]["all"])),
                "-" if row["peak"] is None else f"{row['peak'] / 1e6:.0f}",
                *(_ms(row["cold"]), _ms(row["warm"]), *apart),
                f"{beside['quality']:.4f}" if scored else "-",
            ]
        )
    notes = [
        "- peak: most memory in use, loading included; on a CPU of the whole process so far",
        "- Dice, mean and least of all rounds, pixels alike and mean difference in quality: beside the unquantised "
        "model, whose masks are the references of all",
    ]
    notes += [
        f"- {row['bits']}: {row['reserved'] / 1e9:.1f} GB were held at most, "
        f"{'within' if row['fits'] else 'beyond'} the goal of {row['goal'] / 1e9:.0f} GB"
        for row in found["models"]
        if row["goal"] is not None
    ]
    if found["no_room"] is not None:
        notes.append(f"- no room for the unquantised model: {found['no_room']}")
    return "\n".join([f"{found['model']}: {_setting(found)}", "", _aligned(head, rows), "", *notes, ""])


def report_start(found: dict[str, Any]) -> str:
    """What `start.bench_start` found, as Markdown."""
    hardware, seconds = found["hardware"], found["seconds"]
    table = _aligned(list(seconds), [[_ms(each) for each in seconds.values()]])
    return f"""\
{found["model"]}: {found["dtype"]} on {found["device"]}
{_machine(hardware)}; Python {found["python"]}
start of the engine process, image {found["size"]} x {found["size"]}; medians of {found["repeats"]}, in milliseconds

{table}

- imports and weights are loading; ready: until the model is there; first answer: all
"""


def _setting(found: dict[str, Any]) -> str:
    """What was measured on, in three lines that follow the model's name."""
    return f"""\
{found["dtype"]} on {found["device"]}{", SAM compiled" if found["compiled"] else ""}
{_machine(found["hardware"])}, {found["round_threads"]} in a round; torch {found["versions"]["torch"]}
image {found["size"]} x {found["size"]}; medians of {found["repeats"]}, in milliseconds"""


def _machine(hardware: dict[str, Any]) -> str:
    runs_on = f"{hardware['gpu']}, {hardware['cpu']}" if hardware["gpu"] else hardware["cpu"]
    return f"{runs_on}; {hardware['threads']} of {hardware['cores']} threads"


def lost(found: dict[str, Any]) -> str:
    """In what engine and released are not equal, in one sentence."""
    if found["difference"] is None:
        how = f"The logits of the engine, or those of recomputing everything, are no numbers in {found['dtype']}"
    elif found["limit"] is None:
        how = (
            f"The engine's masks have a mean Dice of {found['agreement']:.3f} with those of recomputing everything, "
            f"and {found['agreement_limit']:g} is asked in {found['dtype']}"
        )
    else:
        how = (
            f"The engine's logits differ by {found['difference']:.2g} from recomputing everything, and "
            f"{found['limit']:g} is allowed in {found['dtype']}"
        )
    return f"{how}: do not trust its masks here, and report this output."


def _aligned(head: list[Any], rows: list[list[Any]]) -> str:
    """A Markdown table whose columns are as wide as what they hold."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * (width - 1) + ":" for width in widths])
    lines = (" | ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"| {line} |" for line in lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"


def plot(found: dict[str, Any], path: Path) -> None:
    """Time by round of all ways, as a picture; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    numbers = [row["round"] for row in found["by_round"]]
    for way, label in (
        ("released", "released: the whole dialogue recomputed"),
        ("so_far", "the dialogue so far recomputed"),
        ("engine", "engine: cold in round 1, then warm"),
    ):
        axes.plot(numbers, [row[way] * 1e3 for row in found["by_round"]], marker="o", label=label)
    axes.set(xlabel="round", ylabel="milliseconds", yscale="log", xticks=numbers)
    hardware = found["hardware"]
    axes.set_title(
        f"{found['model']}, {found['dtype']}, {hardware['gpu'] or hardware['cpu']}, threads: {hardware['threads']}",
        fontsize="medium",
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small")
    figure.savefig(path, format="png")
