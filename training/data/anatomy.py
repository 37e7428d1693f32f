"""The phantoms' anatomies: six kinds of scene, drawn anew with every seed.

Sizes are those of an adult in mm, in round figures. They make pictures from which a model can learn what "left",
"other", "next" and "lesion in" mean; they are no atlas.
"""

from collections.abc import Callable

import numpy as np

from training.data.draft import SIDES, Draft, column, trunk
from training.data.shapes import Half, Scene

RIB_NUMBERS = range(2, 11)
SPINE = ("T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1")
# Vertebrae above those: they show that a picture's topmost one need not be T10.
ABOVE = 3


def ribs(draft: Draft, half_width: float, half_depth: float) -> None:
    """Pairs of ribs from the spine around the chest, each going down towards the front."""
    for number in RIB_NUMBERS:
        top = 150.0 - 27.0 * number + 40
        reach = min(1.0, 0.70 + 0.045 * number) if number < 8 else 1.0 - 0.08 * (number - 7)
        for side, sign in SIDES:
            angles = np.linspace(np.deg2rad(78), np.deg2rad(78 - 138 * reach), 8)
            drop = np.linspace(0, 62 * reach, 8)
            line = [
                (float(sign * half_width * np.cos(a)), float(half_depth * np.sin(a)), float(top - d))
                for a, d in zip(angles, drop, strict=True)
            ]
            draft.tube(f"{side} rib {number}", "bone", line, 5.0, wander=1.5)


def chest(rng: np.random.Generator) -> Scene:
    """Lungs, heart with chambers, great vessels, ribs and spine; infections and nodules in the lungs."""
    draft = Draft(rng)
    width, depth = rng.uniform(150, 175), rng.uniform(98, 116)
    trunk(draft, width, depth)
    draft.add("", "fat", draft.shape((0, 0, 20), (55, 70, 200), boxy=0.5))
    for side, sign in SIDES:
        narrow = 0.92 if side == "left" else 1.0
        lung = draft.shape(
            (sign * width * 0.46, 8, 22), (width * 0.365 * narrow, depth * 0.70, 135), (0, sign * 5, sign * 8), boxy=0.4
        )
        draft.add(f"{side} lung", "lung", lung)
    ribs(draft, width - 26, depth - 20)
    draft.add("liver", "liver", draft.shape((-50, -10, -130), (85, 75, 62), boxy=0.2))
    draft.add("spleen", "spleen", draft.shape((85, 45, -125), (32, 45, 45)))
    column(draft, depth * 0.50, 18)
    draft.add("sternum", "marrow", draft.shape((0, -depth + 26, 20), (17, 6, 90), boxy=0.7))
    lean = float(rng.uniform(-8, 8))
    draft.add("heart", "heart", draft.shape((22, -30, -35), (58, 46, 56), (0, 25, 25 + lean), boxy=0.2))
    for entity, centre, radii in (
        ("right atrium", (-16, -28, -30), (17, 22, 28)),
        ("right ventricle", (12, -52, -45), (26, 15, 27)),
        ("left atrium", (8, 2, -18), (28, 15, 20)),
        ("left ventricle", (46, -26, -45), (24, 18, 26)),
    ):
        draft.add(entity, "blood", draft.shape(centre, radii, (0, 0, 25 + lean)), within="heart")
    draft.tube("pulmonary artery", "vein", [(12, -38, 8), (18, -18, 28), (-28, -2, 26)], [14, 13, 9])
    draft.tube(
        "aorta",
        "blood",
        [(2, -28, -8), (-8, -32, 45), (2, -18, 72), (20, 15, 78), (26, 36, 55), (22, 42, -60), (12, 42, -250)],
        [14, 14, 13, 12, 12, 11, 10],
    )
    draft.tube("superior vena cava", "vein", [(-24, -20, -10), (-26, -22, 100)], 10)
    draft.tube("trachea", "air", [(0, -2, 200), (0, 6, 45)], 9)
    for _, sign in SIDES:
        draft.tube("trachea", "air", [(0, 6, 45), (sign * 38, 14, 8)], 6)
    draft.tube("esophagus", "muscle", [(4, 20, 200), (6, 26, 0), (14, 24, -150)], 6.5)
    if draft.chance(0.55):
        for organ in ("left lung", "right lung"):
            if draft.chance(0.7):
                draft.lesions("lung infection", "infection", organ, int(rng.integers(2, 7)), (9, 24))
    elif draft.chance(0.7):
        draft.lesions("lung nodule", "nodule", str(rng.choice(["left lung", "right lung"])), 3, (6, 17))
    return draft.scene()


def abdomen(rng: np.random.Generator) -> Scene:
    """Upper abdominal organs with lesions in liver and kidneys."""
    draft = Draft(rng)
    trunk(draft, rng.uniform(145, 180), rng.uniform(100, 125))
    draft.add("", "fat", draft.shape((0, -12, 0), (132, 82, 300), boxy=0.45, vary=0.04))
    for side, sign in SIDES:
        draft.add(f"{side} psoas muscle", "muscle", draft.shape((sign * 38, 56, -90), (18, 19, 110)))
        draft.add(f"{side} autochthonous back muscle", "muscle", draft.shape((sign * 36, 92, 0), (30, 17, 350)))
    column(draft, 52, 20)
    for _ in range(int(rng.integers(5, 9))):
        x, y, z = rng.uniform(-80, 90), rng.uniform(-72, 5), rng.uniform(-150, -55)
        bend = rng.uniform(-35, 35, 3)
        loop = [(x, y, z), (x + bend[0], y + bend[1] / 2, z + bend[2])]
        draft.tube("small bowel", "bowel", loop, rng.uniform(10, 15))
    for sign, low in ((-1.0, -10.0), (1.0, 40.0)):
        draft.tube("colon", "bowel", [(sign * 104, 12, -180), (sign * 104, 16, low)], 18)
        draft.tube("", "air", [(sign * 104, 4, -180), (sign * 104, 8, low - 18)], 8, within="colon")
    draft.add(
        "liver",
        "liver",
        draft.shape((-66, -2, 40), (68, 78, 78), (0, 12, 12), boxy=0.3, lumps=0.04),
        draft.shape((-12, -46, 58), (66, 30, 42), (0, 10, -8), boxy=0.2, lumps=0.04),
    )
    draft.add("spleen", "spleen", draft.shape((104, 38, 45), (25, 48, 52), (0, -8, 22), boxy=0.2, lumps=0.05))
    draft.add("stomach", "stomach", draft.shape((56, -34, 45), (44, 38, 44), (0, 0, -25), boxy=0.2, lumps=0.05))
    draft.add("", "air", draft.shape((58, -58, 50), (28, 13, 30)), within="stomach")
    draft.add("gallbladder", "bile", draft.shape((-42, -44, 0), (15, 24, 24), (0, 0, 25)))
    draft.tube("pancreas", "pancreas", [(-30, -12, -8), (-8, -20, 2), (24, -12, 14), (70, 12, 26)], [14, 10, 10, 8])
    for side, sign in SIDES:
        z = -28.0 if side == "right" else -14.0
        draft.add(f"{side} kidney", "kidney", draft.shape((sign * 66, 46, z), (27, 31, 56), (8, sign * -8, sign * 18)))
        sinus = draft.shape((sign * 56, 40, z), (12, 10, 24))
        draft.add("", "fat", sinus, within=f"{side} kidney")
        adrenal = [(sign * 40.0, 28.0, z + 62), (sign * 50.0, 42.0, z + 56)]
        draft.tube(f"{side} adrenal gland", "muscle", adrenal, 4.5)
    draft.tube("aorta", "blood", [(8, 20, 200), (6, 22, 0), (4, 22, -200)], [12, 11, 10])
    draft.tube("inferior vena cava", "vein", [(-20, 4, 200), (-22, 14, 40), (-20, 20, -200)], [13, 13, 12])
    draft.tube("portal vein", "vein", [(10, -4, 8), (-18, -8, 26), (-45, -8, 48)], [8, 8, 6])
    if draft.chance(0.6):
        tissue = str(rng.choice(["tumor", "tumor", "bright_tumor"]))
        draft.lesions("liver tumor", tissue, "liver", int(rng.integers(1, 4)), (10, 26))
    if draft.chance(0.55):
        organ = str(rng.choice(["left kidney", "right kidney"]))
        kind, tissue = ("kidney tumor", "tumor") if draft.chance(0.5) else ("kidney cyst", "cyst")
        draft.lesions(kind, tissue, organ, 1, (11, 19))
    return draft.scene()


def pelvis(rng: np.random.Generator) -> Scene:
    """Hip bones, femoral heads, muscles, bladder, rectum, prostate."""
    draft = Draft(rng)
    trunk(draft, rng.uniform(160, 190), rng.uniform(105, 125))
    draft.add("", "fat", draft.shape((0, -8, 10), (85, 75, 200), boxy=0.5))
    for side, sign in SIDES:
        draft.add("", "fat", draft.shape((sign * 75, 62, -10), (65, 22, 120), (0, 0, sign * -20)))
        maximus = draft.shape((sign * 78, 68, -10), (62, 24, 110), (0, 0, sign * -22), boxy=0.3)
        draft.add(f"{side} gluteus maximus", "muscle", maximus)
        draft.add(f"{side} iliopsoas", "muscle", draft.shape((sign * 68, -45, 30), (22, 24, 140)))
        crest, socket = [(sign * 60, 42, 130), (sign * 88, 5, 75)], (sign * 72, 18, 25)
        hip = [*crest, socket, (sign * 62, 35, -35), (sign * 30, -42, -45)]
        draft.tube(f"{side} hip bone", "marrow", hip, [16, 14, 20, 13, 9])
        neck = [(sign * 92, -2, 0), (sign * 128, 8, -28), (sign * 132, 6, -200)]
        draft.tube(f"{side} femur", "marrow", neck, [17, 19, 15])
        head = draft.shape((sign * 92, -2, 2), (24, 24, 24), lumps=0.0, vary=0.05)
        draft.add(f"{side} femoral head", "bone", head)
        artery = [(sign * 20, 10, 140), (sign * 55, -30, 50), (sign * 62, -70, -60)]
        draft.tube(f"{side} iliac artery", "blood", artery, 6)
    draft.add("sacrum", "marrow", draft.shape((0, 68, 75), (46, 20, 58), (-15, 0, 0), boxy=0.5))
    draft.add("urinary bladder", "urine", draft.shape((0, -28, 8), (42, 33, 30), boxy=0.3))
    draft.add("prostate", "pancreas", draft.shape((0, -8, -38), (23, 19, 17)))
    draft.tube("rectum", "bowel", [(4, 46, 90), (0, 48, 20), (0, 30, -90)], [17, 20, 13])
    draft.tube("", "air", [(4, 44, 90), (0, 46, 20), (0, 28, -80)], 6, within="rectum")
    if draft.chance(0.35):
        draft.lesions("bladder tumor", "muscle", "urinary bladder", 1, (9, 15))
    return draft.scene()


def spine(rng: np.random.Generator) -> Scene:
    """The lumbar and lower thoracic spine as a chain with discs, for sagittal and coronal cuts."""
    draft = Draft(rng, warp=5.0)
    draft.add("", "fat", draft.shape((0, 20, 0), (150, 95, 400), boxy=0.6, lumps=0.01, vary=0.03))
    draft.add("", "muscle", draft.shape((0, 45, 0), (125, 52, 390), boxy=0.6, lumps=0.01))
    draft.add("", "bowel", draft.shape((0, -45, 0), (110, 32, 300), boxy=0.5, lumps=0.05))
    draft.tube("aorta", "blood", [(12, -16, 250), (8, -26, 0), (4, -22, -70)], [11, 10, 9], wander=4)
    height, depth, gap = rng.uniform(25, 30), rng.uniform(15, 19), rng.uniform(7, 12)
    bow, tilt = rng.uniform(8, 24), rng.uniform(0, 14)
    levels = ("",) * ABOVE + SPINE
    heights = height * np.linspace(0.78, 1.0, len(levels))
    gaps = gap * np.linspace(0.5, 1.0, len(levels))
    tops = -150 + rng.uniform(-25, 25) + np.cumsum((heights + gaps)[::-1])[::-1] - (heights + gaps)[-1]

    def front(z: float) -> float:
        """The y of the vertebral bodies' middle: lordosis below, straight above."""
        return float(8 - bow * np.sin(np.clip((z + 190) / 260, 0, 1.2) * np.pi))

    line = [float(top - h / 2) for top, h in zip(tops, heights, strict=True)]
    ends = [line[0] + 120, *line[:-1], line[-1] - 10, line[-1] - 45]
    canal = [(0.0, front(z) + depth + 9, z) for z in ends[:-1]] + [(0.0, front(line[-1]) + depth + 30, ends[-1])]
    draft.tube("spinal canal", "csf", canal, rng.uniform(7, 9), wander=1)
    cord = [(x, y, z) for x, y, z in canal if z > line[ABOVE + 3] - 20]
    draft.tube("spinal cord", "cord", cord, [4.5] * (len(cord) - 1) + [1.5], within="spinal canal", wander=1)
    for k, (level, z) in enumerate(zip(levels[:-1], line[:-1], strict=True)):
        name = f"vertebra {level}" if level else ""
        slope = float(np.rad2deg(np.arctan2(front(z + 10) - front(z - 10), 20)))
        size = (22.0, depth * (0.85 + 0.15 * k / len(levels)), heights[k] / 2)
        body = draft.shape((0, front(z), z), size, (-slope, 0, 0), boxy=1.0, lumps=0.02, vary=0.03)
        draft.add(name, "marrow", body)
        spinous = draft.shape((0, front(z) + depth + 36, z - 9), (4, 17, 8), (-slope - 18, 0, 0), boxy=0.5)
        draft.add(name, "marrow", spinous)
        middle = z - heights[k] / 2 - gaps[k] / 2
        slope = float(np.rad2deg(np.arctan2(front(middle + 10) - front(middle - 10), 20)))
        disc = draft.shape((0, front(middle), middle), (21, depth, gaps[k] / 2), (-slope, 0, 0), 0.7, 0.02, 0.03)
        below = levels[k + 1]
        draft.add(f"{level}-{below} intervertebral disc" if level else "", "disc", disc)
    _sacrum(draft, (front(line[-1]), line[-1]), depth, heights[-1], 18 + tilt)
    return draft.scene()


def _sacrum(draft: Draft, first: tuple[float, float], depth: float, height: float, lean: float) -> None:
    """Pieces from (y, z) of the first one's middle downwards and, by ever more than `lean` degrees, to the back."""
    y, z = first
    for number in range(4):
        share = 1 - 0.2 * number
        size = (22 + 3 * share, depth * share * 0.95, height * share / 2)
        draft.add("sacrum", "marrow", draft.shape((0, y, z), size, (-lean, 0, 0), boxy=0.9, lumps=0.02, vary=0.03))
        lean += 9
        step = height * (share - 0.1) + 1.5
        y, z = y + step * float(np.sin(np.deg2rad(lean))), z - step * float(np.cos(np.deg2rad(lean)))


def brain(rng: np.random.Generator) -> Scene:
    """Scalp, skull, two hemispheres, ventricles, cerebellum, brainstem; a tumor in one hemisphere."""
    draft = Draft(rng, warp=3.0)
    draft.add("", "fat", draft.shape((0, 0, 0), (78, 95, 92), boxy=0.2, lumps=0.005, vary=0.03))
    draft.tube("", "fat", [(0, 20, -30), (0, 22, -160)], 52)
    draft.tube("", "muscle", [(0, 20, -30), (0, 22, -160)], 44)
    draft.add("", "bone", draft.shape((0, 0, 0), (72, 89, 86), boxy=0.2, lumps=0.005, vary=0.01))
    draft.add("", "csf", draft.shape((0, 0, 0), (66, 83, 80), boxy=0.2, lumps=0.005, vary=0.01))
    draft.add("cerebellum", "grey", draft.shape((0, 45, -45), (48, 30, 26), lumps=0.05))
    draft.tube("brainstem", "white", [(0, 4, -10), (0, 10, -40), (0, 22, -110)], [16, 15, 9])
    wide = rng.uniform(0.6, 1.5)
    shrunk = 1 - 0.05 * float(rng.random())
    size = (63.0 * shrunk, 80.0 * shrunk, 66.0 * shrunk)
    cerebrum = draft.shape((0, 0, 12), size, boxy=0.2, lumps=0.012, vary=0.01, ripple=14)
    for side, sign in SIDES:
        half = f"{side} cerebral hemisphere"
        draft.add(half, "grey", Half(cerebrum, np.array((sign, 0, 0), np.float32), 0.8))
        for y, depth in ((-38, 34), (0, 40), (38, 34)):
            white = draft.shape((sign * 29, y, 14), (22 - abs(y) * 0.12, depth, 46), lumps=0.10, vary=0.06, ripple=9)
            draft.add("", "white", white, within=half)
        draft.add("", "grey", draft.shape((sign * 16, 2, 5), (9, 16, 12)), within=half)
        ventricle = f"{side} lateral ventricle"
        horns = [(sign * 13, -30, 14), (sign * 8, -8, 22), (sign * 12, 18, 20), (sign * 22, 36, 8)]
        draft.tube(ventricle, "csf", horns, [float(r * wide) for r in (5, 6.5, 6.5, 6)], within=half, wander=2)
        eye = draft.shape((sign * 32, -74, -40), (12, 12, 12), lumps=0)
        draft.add(f"{side} eyeball", "csf", eye)
    if draft.chance(0.65):
        half = f"{rng.choice(['left', 'right'])} cerebral hemisphere"
        tissue = str(rng.choice(["tumor", "enhancing"]))
        draft.lesions("brain tumor", tissue, half, 1, (10, 24))
    return draft.scene()


def head_neck(rng: np.random.Generator) -> Scene:
    """The jaw and the neck: parotid and submandibular glands, mandible, airway, vertebra, cord, brainstem."""
    draft = Draft(rng, warp=3.0)
    draft.add("", "fat", draft.shape((0, -5, 40), (74, 92, 110), boxy=0.3, lumps=0.01, vary=0.04))
    draft.tube("", "fat", [(0, 15, 40), (0, 12, -90), (0, 12, -260)], [64, 60, 66])
    draft.tube("", "muscle", [(0, 18, 40), (0, 14, -90), (0, 14, -260)], [54, 50, 54])
    draft.add("", "muscle", draft.shape((0, -25, 5), (56, 55, 45), boxy=0.4))
    draft.add("", "bone", draft.shape((0, 5, 105), (68, 86, 68), boxy=0.2, lumps=0, vary=0.02))
    draft.add("", "grey", draft.shape((0, 5, 105), (62, 80, 61), boxy=0.2, lumps=0, vary=0.02))
    for _, sign in SIDES:
        draft.tube("", "muscle", [(sign * 50.0, 38, 20), (sign * 38.0, 0, -90), (sign * 18.0, -25, -170)], 10)
        draft.tube("", "vein", [(sign * 34.0, 16, 30), (sign * 34.0, 10, -200)], 7)
        draft.tube("", "blood", [(sign * 27.0, 8, 30), (sign * 26.0, 2, -200)], 4)
        draft.tube("", "fat", [(sign * 40.0, -5, 10), (sign * 38.0, -15, -50)], 14)
    draft.tube("vertebra", "marrow", [(0, 24, 38), (0, 26, -260)], 13, wander=2)
    for _, sign in SIDES:
        draft.tube("vertebra", "bone", [(sign * 18.0, 32, 36), (sign * 19.0, 35, -260)], 7.5, wander=1)
    draft.add("vertebra", "bone", draft.shape((0, 58, -110), (6, 13, 145)))
    draft.tube("spinal canal", "csf", [(0, 45, 34), (0, 46, -260)], 10, wander=1)
    draft.tube("spinal cord", "cord", [(0, 45, 34), (0, 46, -260)], 6, within="spinal canal", wander=1)
    draft.tube("brainstem", "white", [(0, 10, 80), (0, 22, 55), (0, 40, 34)], [17, 15, 9])
    draft.tube("esophagus", "muscle", [(1, 6, -90), (4, 8, -260)], 7.5)
    draft.tube("", "air", [(0, -6, 40), (0, -2, -60), (0, -14, -100)], [11, 8, 7])
    draft.add("larynx", "muscle", draft.shape((0, -20, -95), (20, 19, 24), lumps=0.04))
    draft.tube("", "air", [(0, -18, -75), (0, -20, -125)], 7, within="larynx")
    draft.tube("trachea", "air", [(0, -18, -122), (0, -8, -260)], 9)
    right = [(-52.0, 10.0, 38.0), (-51.0, -2.0, 0.0), (-45.0, -36.0, -20.0), (-22.0, -74.0, -30.0)]
    chin = [(0.0, -82.0, -31.0)]
    draft.tube("mandible", "bone", [*right, *chin, *((-x, y, z) for x, y, z in reversed(right))], 7.0)
    for side, sign in SIDES:
        lobes = (
            draft.shape((sign * 58, 18, 12), (12, 19, 27), (0, 0, sign * 15), lumps=0.06),
            draft.shape((sign * 48, 20, 14), (12, 11, 18), lumps=0.06),
        )
        draft.add(f"{side} parotid gland", "gland", *lobes)
        gland = draft.shape((sign * 32, -30, -38), (11, 16, 14), lumps=0.05)
        draft.add(f"{side} submandibular gland", "pancreas", gland)
    return draft.scene()


SCENES: dict[str, Callable[[np.random.Generator], Scene]] = {
    "chest": chest,
    "abdomen": abdomen,
    "pelvis": pelvis,
    "spine": spine,
    "brain": brain,
    "head_neck": head_neck,
}
