"""How a phantom's label map becomes a picture: tissues in the look of CT, MR, radiograph and ultrasound."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.samples import Mask, Pixels
from training.data.shapes import Array, Labels, Scene

TABLE = Path(__file__).parent / "tables" / "tissues.toml"
CT_LOOKS = {"ct_soft": (40.0, 400.0), "ct_lung": (-500.0, 1500.0), "ct_bone": (400.0, 1800.0)}  # (level, width) HU
MODALITIES = {
    **dict.fromkeys(CT_LOOKS, "CT"),
    "mr_t1": "MR-T1",
    "mr_t2": "MR-T2",
    "mr_flair": "MR-FLAIR",
    "xray": "X-ray",
    "ultrasound": "ultrasound",
}
LEAST_CONTRAST = 0.06  # share of the grey scale by which a structure must differ from the one around it to be labelled


@cache
def tissues() -> dict[str, dict[str, float]]:
    """The table of tissues: name -> hu, t1, t2, flair, echo, grain."""
    with TABLE.open("rb") as file:
        return tomllib.load(file)


def blur(image: Array, sigma: float) -> Array:
    """The image smoothed by a Gaussian of `sigma` pixels, edges repeated."""
    reach = max(1, round(2.5 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2).astype(np.float32)
    kernel /= kernel.sum()
    for axis in (0, 1):
        pad = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
        wide, count = np.pad(image, pad, mode="edge"), image.shape[axis]
        taps = (wide[k : k + count] if axis == 0 else wide[:, k : k + count] for k in range(2 * reach + 1))
        total = np.zeros_like(image)
        for weight, tap in zip(kernel, taps, strict=True):
            total += weight * tap
        image = total
    return image


def smooth_noise(rng: np.random.Generator, form: tuple[int, int], cells: int) -> Array:
    """Noise of about unit strength whose waves are 1 / cells of the picture long."""
    coarse = rng.standard_normal((cells, cells), np.float32)
    resized = Image.fromarray(coarse).resize((form[1], form[0]), Image.Resampling.BICUBIC)
    return np.asarray(resized, np.float32)


@dataclass(frozen=True)
class Paint:
    """The brightness of every part of one scene in one look: tables over labels (0 is air).

    Attributes:
        value: HU for CT and X-ray, 0..1 otherwise.
        grain: the strength of texture.
    """

    value: Array
    grain: Array


def mix_paint(rng: np.random.Generator, scene: Scene, look: str) -> Paint:
    """Chooses a brightness for each tissue, a little other for each part."""
    column = {"mr_t1": "t1", "mr_t2": "t2", "mr_flair": "flair", "ultrasound": "echo"}.get(look, "hu")
    spread = 9.0 if column == "hu" else 0.035
    table = tissues()
    used = {part.tissue for part in scene.parts}
    value = {name: table[name][column] + float(rng.normal()) * spread for name in sorted(used)}
    if column == "hu":
        value["blood"] = float(rng.uniform(40, 260))
        value["vein"] = float(rng.uniform(40, max(45, value["blood"])))
    elif column != "echo" and rng.random() < 0.4:  # bright-blood sequences, or contrast agent
        value["blood"], value["vein"] = rng.uniform(0.7, 1.0), rng.uniform(0.6, 0.95)
    value["air"] = table["air"][column]
    values, grains = [value["air"]], [0.0]
    for part in scene.parts:
        values.append(value[part.tissue] + float(rng.normal()) * spread * 0.4)
        grains.append(table[part.tissue]["grain"])
    return Paint(np.asarray(values, np.float32), np.asarray(grains, np.float32))


def render_hu(rng: np.random.Generator, labels: Labels, paint: Paint, sharp: float) -> Array:
    """(H, W) HU with partial volume, texture and noise."""
    cells = max(8, labels.shape[0] // 5)
    texture = smooth_noise(rng, labels.shape, cells) * paint.grain[labels] * np.float32(rng.uniform(4, 9))
    image = blur(paint.value[labels] + texture, sharp)
    noise = rng.standard_normal(labels.shape, np.float32)
    return image + blur(noise, 0.6) * np.float32(rng.uniform(6, 36))


def render_mr(rng: np.random.Generator, labels: Labels, paint: Paint, sharp: float) -> Array:
    """(H, W) in about 0..1 with bias field, texture, Rician noise."""
    cells = max(8, labels.shape[0] // 6)
    texture = smooth_noise(rng, labels.shape, cells) * paint.grain[labels] * np.float32(rng.uniform(0.01, 0.03))
    image = blur(paint.value[labels] + texture, sharp)
    bias = np.exp(smooth_noise(rng, labels.shape, 3) * np.float32(rng.uniform(0.05, 0.22)))
    strength = np.float32(rng.uniform(0.01, 0.05))
    real, imaginary = rng.standard_normal((2, *labels.shape), np.float32) * strength
    return np.hypot(image * bias + real, imaginary)


def render_ultrasound(rng: np.random.Generator, labels: Labels, paint: Paint) -> tuple[Array, Mask]:
    """(H, W) in 0..1, fan-shaped, with speckle, shadow and bright interfaces; and the fan."""
    height, width = labels.shape
    image = blur(paint.value[labels], 0.9)
    rows = np.arange(height, dtype=np.float32)[:, None] / height
    columns = np.arange(width, dtype=np.float32)[None, :] / width
    image = image + np.abs(np.gradient(blur(image, 1.0), axis=0)) * np.float32(rng.uniform(0.5, 1.5))
    apex, angle = -float(rng.uniform(0.15, 0.35)), float(rng.uniform(0.55, 0.8))
    radius = np.hypot(rows - apex, columns - 0.5)
    turn = np.arctan2(columns - 0.5, rows - apex)
    fan = (np.abs(turn) < angle) & (radius > -apex + 0.03) & (radius < 0.97 - apex)
    gain = np.exp((0.5 - rows) * np.float32(rng.uniform(-0.3, 0.9)))
    coarse = float(rng.uniform(1.0, 1.6)) * height / 256
    # Speckle is the envelope of random waves; a scanner averages a few views of it (compounding).
    power = sum(blur(rng.standard_normal((height, width), np.float32), coarse) ** 2 for _ in range(3))
    speckle = np.sqrt(power / np.mean(power)).astype(np.float32)
    streaks = 1 + 0.06 * np.sin(turn * rng.uniform(15, 40) + rng.uniform(0, 6))
    echo = np.clip(image, 0, 1) * gain * speckle * streaks
    return np.log1p(8 * echo * echo) * fan, fan  # the scanner's log compression


def to_grey(image: Array, low: float, high: float) -> Pixels:
    """Grey values: low and less is 0, high and more is 255."""
    return np.rint(np.clip((image - low) * (255.0 / (high - low)), 0, 255)).astype(np.uint8)


def display(rng: np.random.Generator, image: Array, look: str) -> Pixels:
    """The image as a viewer would show it, the window a little other every time."""
    if look in CT_LOOKS:
        level, width = CT_LOOKS[look]
        level, width = level + rng.uniform(-0.05, 0.05) * width, width * rng.uniform(0.8, 1.2)
        return to_grey(image, level - width / 2, level + width / 2)
    top = float(np.quantile(image[::4, ::4], 0.995)) * rng.uniform(0.9, 1.15)
    bright = np.clip(image / max(top, 1e-3), 0, 1) ** np.float32(rng.uniform(0.8, 1.2))
    return to_grey(bright, 0.0, 1.0)


def enlarge(image: Array, size: int) -> Array:
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC), np.float32)


def hidden_entities(scene: Scene, paint: Paint, look: str) -> set[str]:
    """Entities that cannot be told from the one they lie in: the chambers of a heart without contrast agent."""
    span = CT_LOOKS[look][1] if look in CT_LOOKS else 1000.0 if look == "xray" else 1.0
    value = {part.entity: float(paint.value[k]) for k, part in enumerate(scene.parts, start=1)}
    inner = {part.entity: part.within for part in scene.parts if part.entity and part.within}
    return {name for name, organ in inner.items() if abs(value[name] - value[organ]) < LEAST_CONTRAST * span}
