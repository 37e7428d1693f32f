"""The training loop: a run that is stopped, however it is, ends as one that nothing disturbed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

import training.loop
from MediRoundLib.errors import MediRoundError
from training.loop import Task, learning_rate_factor, optimizers, train
from training.recipe import PhaseRecipe
from training.team import Team

REPOSITORY = Path(__file__).resolve().parents[1]
STEPS = 10
TOY = PhaseRecipe(steps=STEPS, batch=4, lr=0.05, warmup=3, weight_decay=0.01)

Losses = Callable[[Tensor], dict[str, Tensor]]


class Toy:
    """A network with dropout, and batches of noise to train it on."""

    def __init__(self, path: Path, width: int = 8, workers: int = 0, phase: PhaseRecipe = TOY) -> None:
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(3, width), nn.Dropout(0.3), nn.Linear(width, 1))
        self.path, self.workers, self.phase = path, workers, phase
        self.steps_taken = 0

    def batch(self, step: int) -> Tensor:
        return torch.from_numpy(np.random.default_rng(step).normal(size=(4, 3)).astype(np.float32))

    def losses(self, batch: Tensor) -> dict[str, Tensor]:
        return {"loss": self.net(batch).square().mean() + (self.net(batch) - 1).abs().mean()}

    def run(self, before: Callable[[int], object] = lambda step: None, losses: Losses | None = None) -> bool:
        """Train; `before` is called in each step, with the number of those that this object took before it."""

        def taken(batch: Tensor) -> dict[str, Tensor]:
            before(self.steps_taken)
            self.steps_taken += 1
            return (losses or self.losses)(batch)

        self.net.train()
        task = Task(self.path.stem, self.net, self.net.state_dict, self.net.load_state_dict, self.batch, taken)
        return train(task, self.phase, self.path.parent, self.workers)

    def weights(self) -> Tensor:
        return torch.cat([parameter.detach().flatten() for parameter in self.net.parameters()])


def interrupt_at(step: int, number: signal.Signals = signal.SIGINT) -> Callable[[int], None]:
    def before(taken: int) -> None:
        if taken == step:
            os.kill(os.getpid(), number)

    return before


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """The toy's weights after a run that nothing disturbed."""
    toy = Toy(tmp_path_factory.mktemp("toy") / "state.pt")
    assert toy.run()
    assert toy.steps_taken == STEPS
    return toy.weights()


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 0), (signal.SIGTERM, 1)])
def test_an_interrupted_run_ends_as_others_do(
    tmp_path: Path, whole: Tensor, number: signal.Signals, workers: int
) -> None:
    path = tmp_path / "run" / "state.pt"
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    first = Toy(path, workers=workers)
    assert not first.run(interrupt_at(3, number))
    assert first.steps_taken == 4, "the step under way is finished"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    second = Toy(path, workers=workers)
    assert second.run()
    assert second.steps_taken == STEPS - 4
    assert torch.equal(second.weights(), whole)
    third = Toy(path)
    assert third.run()
    assert third.steps_taken == 0
    assert torch.equal(third.weights(), whole)


def test_a_killed_run_ends_as_others_do(tmp_path: Path, whole: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(step: int) -> None:
        if step == 5:
            monkeypatch.setattr(training.loop, "SAVE_EVERY_SECONDS", 1e9)
        if step == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.loop, "SAVE_EVERY_SECONDS", -1.0)
    path = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        Toy(path).run(die)
    assert torch.load(path, weights_only=True)["step"] == 5
    again = Toy(path)
    assert again.run()
    assert torch.equal(again.weights(), whole)


def test_an_interrupt_of_the_last_step_stops_too(tmp_path: Path, whole: Tensor) -> None:
    """The next phase does not begin in spite of it."""
    path = tmp_path / "state.pt"
    assert not Toy(path).run(interrupt_at(STEPS - 1))
    again = Toy(path)
    assert again.run()
    assert again.steps_taken == 0
    assert torch.equal(again.weights(), whole)


# Ends with 7 after an interrupt.
GROUP = """
import sys, time
from pathlib import Path
import torch
from training.loop import Task, train
from training.recipe import PhaseRecipe

net = torch.nn.Linear(1, 1)

def losses(step):
    if step >= 2:
        print("in a step", flush=True)
        time.sleep(0.5)
    return {"loss": net(torch.ones(1)).sum()}

phase, path = PhaseRecipe(steps=60, batch=1, lr=0.1, warmup=1), Path(sys.argv[1])
task = Task(path.stem, net, net.state_dict, net.load_state_dict, lambda step: step, losses)
done = train(task, phase, path.parent, 2)
sys.exit(1 if done else 7)
"""


def test_a_signal_to_the_whole_group_waits_for_the_step(tmp_path: Path) -> None:
    """As a terminal's Ctrl-C and `kill -- -GROUP` send it: to the processes that prepare batches, too."""
    path = tmp_path / "state.pt"
    with subprocess.Popen(
        [sys.executable, "-c", GROUP, str(path)],
        cwd=REPOSITORY,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        run.stdout.readline()
        os.killpg(run.pid, signal.SIGTERM)
        _, said = run.communicate(timeout=100)
    assert run.returncode == 7, said
    assert 3 <= torch.load(path, weights_only=True)["step"] < 60


def test_what_is_not_finite_is_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.loop, "SAVE_EVERY_SECONDS", -1.0)
    for word, spoil in (
        ("loss", lambda loss: loss * torch.nan),
        ("gradient", lambda loss: loss + (loss - loss.detach()).sqrt()),  # 0, with an infinite slope
    ):
        toy = Toy(tmp_path / f"{word}.pt")

        def losses(batch: Tensor, toy: Toy = toy, spoil: Callable[[Tensor], Tensor] = spoil) -> dict[str, Tensor]:
            loss = toy.losses(batch)["loss"]
            return {"loss": loss if toy.steps_taken < 3 else spoil(loss)}

        with pytest.raises(MediRoundError, match=f"{word}: the {word} is not finite at step 2; lower `lr`"):
            toy.run(losses=losses)
        kept = torch.load(toy.path, weights_only=True)
        assert kept["step"] == 2
        assert all(bool(tensor.isfinite().all()) for tensor in kept["state"].values())


def test_a_foreign_state_is_refused(tmp_path: Path) -> None:
    """Another size, other tensors, another optimizer, no state, no tensors."""
    path = tmp_path / "state.pt"
    assert Toy(path, width=9).run()
    other_size = path.read_bytes()
    path.unlink()
    assert Toy(path).run()
    own = torch.load(path, weights_only=True)
    contents = [
        {**own, "state": {}},
        {**own, "optimizers": [torch.optim.AdamW([nn.Parameter(torch.zeros(2))]).state_dict()]},
        {**own, "optimizers": []},
        {"module": {}},
        [1, 2],
    ]
    for content in contents:
        torch.save(content, path)
        with pytest.raises(MediRoundError, match=r"state\.pt holds no state of this model"):
            Toy(path).run()
    for raw in (other_size, b"", b"no state"):
        path.write_bytes(raw)
        with pytest.raises(MediRoundError, match=r"state\.pt holds no state of this model"):
            Toy(path).run()


def test_a_state_beyond_the_last_step_is_complete(tmp_path: Path) -> None:
    """The recipe may have been shortened meanwhile."""
    path = tmp_path / "state.pt"
    assert Toy(path).run()
    torch.save({**torch.load(path, weights_only=True), "step": STEPS + 5}, path)
    again = Toy(path)
    assert again.run()
    assert again.steps_taken == 0


def test_schedule() -> None:
    factors = [learning_rate_factor(step, TOY) for step in range(STEPS)]
    assert factors[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert np.diff(factors[3:]) == pytest.approx(-1 / 7)
    assert factors[-1] == pytest.approx(1 / 7)
    assert learning_rate_factor(0, PhaseRecipe(steps=5, batch=1, lr=1, warmup=0)) == 1


@pytest.mark.parametrize("changes", [{"optimizer": "muon"}, {"precision": "bf16"}, {"accumulate": 3}])
def test_every_way_of_training_goes_on_exactly(tmp_path: Path, changes: dict[str, Any]) -> None:
    phase = replace(TOY, **changes)
    undisturbed = Toy(tmp_path / "whole.pt", phase=phase)
    assert undisturbed.run()
    path = tmp_path / "state.pt"
    assert not Toy(path, phase=phase).run(interrupt_at(4))
    again = Toy(path, phase=phase)
    assert again.run()
    assert 0 < again.steps_taken < STEPS * phase.accumulate
    assert torch.equal(again.weights(), undisturbed.weights())


def test_muon_takes_the_matrices_between_features() -> None:
    model = nn.ModuleDict(
        {
            "table": nn.Embedding(5, 4),
            "hidden": nn.Linear(4, 4),
            "resting": nn.Linear(4, 4),
            "picture": nn.Conv2d(1, 2, 3),
            "lm_head": nn.Linear(4, 5),
        }
    )
    model["resting"].requires_grad_(False)
    adamw, muon = optimizers(model, replace(TOY, optimizer="muon"))
    assert isinstance(muon, torch.optim.Muon)
    assert [id(each) for group in muon.param_groups for each in group["params"]] == [id(model["hidden"].weight)]
    rest = {id(each) for group in adamw.param_groups for each in group["params"]}
    resting = {id(each) for each in model["resting"].parameters()}
    assert rest == {id(each) for each in model.parameters()} - resting - {id(model["hidden"].weight)}
    assert [type(each) for each in optimizers(model, TOY)] == [torch.optim.AdamW]


def test_accumulated_batches_are_one_large_one(tmp_path: Path) -> None:
    """Of equal batches the mean of their gradients is that of all."""
    nets = []
    for accumulate in (1, 2):
        net = nn.Linear(3, 1)
        nn.init.ones_(net.weight)
        nn.init.zeros_(net.bias)

        def batch(number: int, accumulate: int = accumulate) -> Tensor:
            whole = torch.from_numpy(np.random.default_rng(number // accumulate).normal(size=(4, 3))).float()
            return whole.chunk(accumulate)[number % accumulate]

        def losses(drawn: Tensor, net: nn.Module = net) -> dict[str, Tensor]:
            return {"loss": (net(drawn) - 1).square().mean()}

        task = Task(f"by{accumulate}", net, net.state_dict, net.load_state_dict, batch, losses)
        assert train(task, replace(TOY, accumulate=accumulate), tmp_path)
        nets.append(net)
    assert torch.allclose(nets[0].weight, nets[1].weight, atol=1e-6)


def test_held_out_patients_are_looked_at_and_change_nothing(
    tmp_path: Path, whole: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    toy, modes = Toy(tmp_path / "toy.pt"), []

    def losses(batch: Tensor) -> dict[str, Tensor]:
        modes.append((torch.is_grad_enabled(), toy.net.training))
        return toy.losses(batch)

    task = Task(
        "toy", toy.net, toy.net.state_dict, toy.net.load_state_dict, toy.batch, losses, lambda k: torch.ones(1, 3)
    )
    assert train(task, replace(TOY, check=4, check_batches=2), tmp_path)
    assert torch.equal(toy.weights(), whole)
    assert modes.count((False, False)) == 3 * 2, "after 4, 8 and 10 steps"
    assert modes.count((True, True)) == STEPS
    said = capsys.readouterr().err
    assert "toy, held-out patients after 4 steps: loss" in said
    assert "after 10 steps" in said
    events = EventAccumulator(str(tmp_path / "log" / "toy"))
    events.Reload()
    assert [event.step for event in events.Scalars("held out/loss")] == [4, 8, 10]
    assert [event.step for event in events.Scalars("train/loss")] == [10]


# Each process has its part of a batch; only the first row of a batch makes "seldom" work, so that one process uses a
# layer and the other does not. Arguments: RUN, "whole" or "split", and the step in which a signal stops the run.
PAIR = """
import os, signal, sys
from pathlib import Path
import torch
from training.loop import Task, train
from training.recipe import PhaseRecipe
from training.team import join

team = join("cpu", sys.argv[2] == "split")
torch.manual_seed(1)
net = torch.nn.ModuleDict({name: torch.nn.Linear(3, 3) for name in ("layer", "resting", "head", "seldom")})
net["resting"].to(torch.bfloat16).requires_grad_(False)
numbers = torch.randn(24, 3)
numbers[::4, 0] = 9

def batch(step):
    if step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGTERM)
    return numbers[list(team.share(step, 4))]

def losses(drawn):
    made = net["head"](net["resting"](net["layer"](drawn).bfloat16()).float())
    first = drawn[:, :1] > 8
    if first.any():
        made = made + first * net["seldom"](drawn)
    return {"loss": (made - 1).square().mean()}

def state():
    return {name: each.detach() for name, each in net.named_parameters()}

layers = [net["layer"], net["resting"]]
task = Task("pair", net, state, net.load_state_dict, batch, losses, lambda step: numbers[:4], layers)
train(task, PhaseRecipe(steps=6, batch=4, lr=0.05, warmup=2, check=2, check_batches=1), Path(sys.argv[1]), 0, team)
print("split" if team.splits else "whole")
"""


@pytest.mark.parametrize("way", ["whole", "split"])
def test_two_processes_learn_what_one_does(tmp_path: Path, way: str) -> None:
    """Each with the whole net or with a part of it; a run that was stopped goes on with as many processes or fewer."""
    script = tmp_path / "pair.py"
    script.write_text(PAIR)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    one = [sys.executable]
    two = [*one, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

    def run(name: str, command: list[str], stop: int) -> dict[str, Any]:
        (tmp_path / name).mkdir(exist_ok=True)
        done = subprocess.run(
            [*command, str(script), str(tmp_path / name), way, str(stop)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert (way in done.stdout) == (command == two or way == "whole")
        found: dict[str, Any] = torch.load(tmp_path / name / "pair.pt", weights_only=True)
        return found

    alone, together = run("one", one, 99), run("two", two, 99)
    assert_alike(together["state"], alone["state"])
    if way == "split":
        assert run("again", two, 2)["step"] == 3
        shutil.copytree(tmp_path / "again", tmp_path / "changed")
        again, changed = run("again", two, 99), run("changed", one, 99)
        assert [found["step"] for found in (again, changed)] == [6, 6]
        assert_alike(changed["state"], alone["state"])
        # A batch of several processes is summed in another order; taken up by as many, it is the very same run.
        assert all(torch.equal(again["state"][name], each) for name, each in together["state"].items())


def assert_alike(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Whole tensors, nearly equal."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert type(found[name]) is Tensor
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5, msg=name)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    assert [list(Team(rank, 2).share(3, 4)) for rank in (0, 1)] == [[12, 14], [13, 15]]
    with pytest.raises(MediRoundError, match="A batch of 5 cannot be shared by 2 processes; change `batch`"):
        Team(0, 2).share(0, 5)
