"""Segments that no round made, understood by the names that their user gave them."""

import pytest

from MediRoundLib.references import resolve_kind, resolve_named

NAMES = ["Segment_1", "my lesion", "Tumor draft", "left lung", "my lesion (old)"]
NAMES_ZH = ["肿瘤草图", "my lesion", "左肺", "病灶 A"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("Based on my lesion, segment the edema.", "my lesion"),
        ("based on   My  Lesion, segment the edema", "my lesion"),
        ("Segment the vessel beside my lesion.", "my lesion"),
        ("Segment the vessel next to my lesion.", "my lesion"),
        ("Segment the capsule of my lesion.", "my lesion"),
        ("With reference to Tumor draft, segment the edema.", "Tumor draft"),
        ("Segment the edema with reference to tumor draft", "Tumor draft"),
        ("Segment the edema with reference to the tumor draft", "Tumor draft"),
        ('Segment the edema around "Tumor draft".', "Tumor draft"),
        ("Segment the edema around “Tumor draft”.", "Tumor draft"),
        ("Use my lesion as the reference and segment the edema.", "my lesion"),
        ("Segment the edema, with my lesion as reference.", "my lesion"),
        ("Segment the vessel that touches Segment_1, inside Segment_1", "Segment_1"),
        ("Segment the edema around my lesion (old).", "my lesion (old)"),
        ("Segment the nodule in the left lung.", "left lung"),
        ("Compared to my lesion, segment the other one.", "my lesion"),
    ],
)
def test_a_segment_by_its_name(query: str, name: str) -> None:
    found = resolve_named(query, NAMES)
    assert found is not None
    index, phrase = found
    assert NAMES[index] == name
    assert phrase in query
    assert phrase.lower().split() == name.lower().split()


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("以 my lesion 为参考，分割水肿", "my lesion"),
        ("以my lesion为参考，分割水肿", "my lesion"),
        ("以“my lesion”为参考，分割水肿", "my lesion"),
        ("把 my lesion 作为参考，分割水肿", "my lesion"),
        ("分割 my lesion 周围的水肿", "my lesion"),
        ("根据肿瘤草图分割水肿", "肿瘤草图"),
        ("根据肿瘤草图，分割水肿", "肿瘤草图"),
        ("基于 肿瘤草图 的结果，分割水肿", "肿瘤草图"),
        ("分割肿瘤草图旁边的血管", "肿瘤草图"),
        ("分割紧邻肿瘤草图的血管", "肿瘤草图"),
        ("参考病灶 A，分割水肿", "病灶 A"),
        ("Based on 肿瘤草图, segment the edema.", "肿瘤草图"),
    ],
)
def test_a_segment_by_its_name_in_chinese(query: str, name: str) -> None:
    found = resolve_named(query, NAMES_ZH)
    assert found is not None
    assert (NAMES_ZH[found[0]], found[1] in query) == (name, True)


@pytest.mark.parametrize(
    "query",
    [
        "Segment my lesion.",
        "Segment the left lung again.",
        "Segment the mask of my lesion.",
        "Segment my lesions in the liver.",
        "Segment the liver.",
        "Segment the edema around my lesion-like nodule.",
        "Segment the edema instead of my lesion.",
        "分割左肺",
        "给出肿瘤草图的掩码",
        "分割左肺的轮廓",
        "",
    ],
)
def test_a_name_alone_is_no_reference(query: str) -> None:
    assert resolve_named(query, [*NAMES, *NAMES_ZH]) is None


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("image", "Segment the liver in the image."),
        ("Slice 3", "Segment the liver in slice 3."),
        ("CT", "Segment the liver in this CT, using the CT"),
        ("left", "Segment the kidney on the left."),
        ("Left", "Segment the structure on the left side."),
        ("the", "Segment the tumor in the liver."),
        ("other", "Segment the vessel next to the other one"),
        ("a", "Based on a lesion, segment the tumor in a liver."),
        ("A", "Based on a lesion, segment the tumor in a liver."),
        ("A", "Based on A segment the tumor"),
        ("I", "Given I have two kidneys, segment the left one of I know not which"),
        ("s", "Segment the tumor in S1 and within s-shaped vessels"),
        ("1", "Segment the vessel within 1 cm, and in 1 of the kidneys"),
        ("2.5", "Segment the vessel near 2.5 mm"),
        (".", "Segment the tumor in. Please"),
        (".*", "Segment the tumor in the liver."),
        ("(", "Segment the tumor in (the liver)."),
        ("[a-z]+", "Segment the tumor in the liver."),
        ("|", "Segment the tumor in the liver."),
        ("", "Segment the tumor in the liver."),
        (" ", "Segment the tumor in  the liver."),
        ('"', 'Segment the tumor in "the liver".'),
        ("Lesion", "Segment the tumor in Lesion2."),
        ("lung", "Segment the tumor in the lung-like cavity"),
        ("图像", "分割图像中的肝脏"),
        ("左侧", "分割位于左侧的肾"),
        ("CT", "分割CT中的肝脏"),
        ("A", "分割CTA中的动脉"),
        ("Round 2", "Segment the tumor in round 2."),
    ],
)
def test_names_that_everyday_words_hold_do_not_misfire(name: str, query: str) -> None:
    assert resolve_named(query, [name]) is None
    assert resolve_kind(query, [name]) is None


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("image", 'Based on "image", segment the tumor.'),
        ("2", "Based on '2', segment the tumor."),
        ("A", "Based on A, segment the tumor."),
        ("A", "Segment the vessel beside A"),
        ("a", "Segment the vessel beside a."),
        ("A", "以A为参考，分割肿瘤"),
        ("A", "根据 A 分割肿瘤"),
        ("图像", "以“图像”为参考，分割肿瘤"),
        ("ROI (draft) *2*", "Based on ROI (draft) *2*, segment the tumor."),
        ("c++", "Based on c++, segment the tumor."),
        ("lesion?", "Segment the vessel beside lesion?"),
        ("Lesion 2", "Segment the vessel beside lesion 2."),
        ("T12", "Segment the disc below T12."),
        ("mask 3", "Segment the vessel beside mask 3."),
        ("mask_3", "Segment the vessel beside mask_3."),
        ("Left parotid (round 2)", "Segment the vessel beside left parotid (round 2)."),
        ("[core]", "Segment the rim around [core]."),
        ("区域1", "根据区域1分割水肿"),
        ("Läsion", "Segment the vessel beside Läsion."),
        ("опухоль", "Segment the vessel beside опухоль."),
        ("  my lesion  ", "Segment the vessel beside my lesion."),
    ],
)
def test_names_as_users_write_them(name: str, query: str) -> None:
    found = resolve_named(query, ["spleen", name])
    assert found is not None
    assert (found[0], found[1] in query) == (1, True)


@pytest.mark.parametrize(
    "query",
    [
        "Segment the vessel beside my lesion in round 2.",
        "Segment the vessel beside my lesion with reference to instance 1.",
        "Based on the last result, segment the vessel beside my lesion.",
        "根据第2轮的结果，分割 my lesion 周围的水肿",
    ],
)
def test_a_round_that_is_named_is_left_to_resolve(query: str) -> None:
    assert resolve_named(query, NAMES) is None
    assert resolve_kind(query, NAMES) is None


def test_the_longest_name_wins_and_then_the_last() -> None:
    assert resolve_named("Based on lesion two, segment it.", ["lesion", "lesion two"]) == (1, "lesion two")
    assert resolve_named("Based on the lesion two, segment it.", ["lesion two", "lesion"]) == (0, "lesion two")
    assert resolve_named("Based on liver, segment the spleen near liver.", ["liver", "spleen", "Liver"]) == (2, "liver")


@pytest.mark.parametrize(
    ("query", "names", "index", "phrase"),
    [
        ("Segment the other lung.", ["spleen", "left lung"], 1, "the other lung"),
        ("Segment the other lung.", ["Left lung (round 1)", "heart"], 0, "the other lung"),
        ("Segment the next vertebra.", ["vertebra L3", "aorta"], 0, "the next vertebra"),
        ("Segment the tumor in this lung.", ["left lung", "aorta"], 0, "this lung"),
        ("For the liver, segment its vessels.", ["my liver", "aorta"], 0, "its"),
        ("Segment the other lung.", ["lung nodule", "left lung"], 1, "the other lung"),
        ("Segment the other lung.", ["left lung", "lung nodule"], 0, "the other lung"),
        ("Based on the lesion, segment the edema.", ["my lesion", "aorta"], 0, "lesion"),
        ("分割另一侧的肺", ["左肺", "肝脏"], 0, "另一侧的肺"),
        ("根据肿瘤分割水肿", ["左侧肿瘤", "肝脏"], 0, "肿瘤"),
    ],
)
def test_a_segment_by_its_kind(query: str, names: list[str], index: int, phrase: str) -> None:
    assert resolve_named(query, names) is None
    assert resolve_kind(query, names) == (index, phrase)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("Segment the other lung.", ["spleen", "my draft", "the best"]),
        ("Segment its tumor.", ["left lung"]),
        ("Segment the other one.", ["left lung", "one"]),
        ("Segment the other structure.", ["structure", "the other"]),
        ("For the liver, segment its vessels.", ["the heart", "for later"]),
        ("Segment the left lung.", ["right lung"]),
        ("Segment the nodule in the lung.", ["left lung"]),
        ("Based on the image, segment the liver.", ["image of mine"]),
        ("Segment the other lung.", []),
        ("分割另一个", ["左肺"]),
        ("分割另一侧的肾", ["左肺", "另一"]),
    ],
)
def test_what_is_of_no_segments_kind(query: str, names: list[str]) -> None:
    assert resolve_kind(query, names) is None
