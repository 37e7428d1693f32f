"""Which earlier round a query refers to: tables of queries in English and Chinese, each with what is understood."""

import pytest

from MediRoundLib.dialogue import PastRound
from MediRoundLib.errors import ReferenceNotFound
from MediRoundLib.language import plain
from MediRoundLib.references import Reference, resolve


def rounds(*names: str) -> list[PastRound]:
    return [PastRound(number, f"Segment the {name}.", name) for number, name in enumerate(names, start=1)]


CHEST = rounds("left lung", "heart", "right ventricle")
SPINE = rounds("vertebra L3", "vertebra L4", "spinal canal")
CHEST_ZH = rounds("左肺", "心脏", "右心室")

NUMBERS = [
    ("Segment the tumor of the output of round 1.", 1),
    ("Based on the output of round 2, segment the aorta.", 2),
    ("Segment the heart with reference to instance 2.", 2),
    ("Segment the heart with reference to Instance 2", 2),
    ("Segment the cavity that receives blood from instance 1.", 1),
    ("Segment the cavity that receives blood from [instance 1].", 1),
    ("Segment the lesion in [2].", 2),
    ("Segment the lesion in [ 2 ].", 2),
    ("the tumor in round #2", 2),
    ("the tumor in instance no. 2", 2),
    ("the tumor in instance number 3", 3),
    ("round-2 output, its tumor", 2),
    ("the tumor of round 2's output", 2),
    ("the tumor inside instance2", 2),
    ("the tumor inside instance_2", 2),
    ("Segment the tumor in round two.", 2),
    ("Given instance three, segment the valve.", 3),
    ("Segment the tumor in the second instance.", 2),
    ("Segment the tumor in the 2nd round.", 2),
    ("Segment the tumor in the 3rd round's output.", 3),
    ("with reference to the first mask, segment the aorta", 1),
    ("Based on the first instance, segment the aorta.", 1),
    ("the tumor of the first-round output", 1),
    ("Segment what lies below result 1.", 1),
    ("Segment what lies inside mask 3.", 3),
    ("Segment the lesion from the answer to question 1.", 1),
    ("Segment the previous vertebra based on instance 2.", 2),
    ("the other lung with reference to the output of round 1", 1),
    ("Segment its tumor, I mean that of instance 1.", 1),
    ("Segment the structure two rounds ago touched.", 2),
    ("Segment the tumor in the round before last.", 2),
    ("Segment the tumor in the second to last result.", 2),
    ("Segment the tumor in the penultimate output.", 2),
    ("请分割第2轮输出中的肿瘤。", 2),
    ("请分割第二轮的输出中的肿瘤", 2),
    ("根据第 2 轮的结果分割主动脉", 2),
    ("根据第２轮的结果，分割主动脉", 2),
    ("分割实例2中的肿瘤", 2),
    ("分割实例二中的肿瘤", 2),
    ("分割实例２的肿瘤", 2),
    ("分割【2】中的肿瘤", 2),
    ("分割［２］中的肿瘤", 2),
    ("分割第三个实例的肿瘤", 3),
    ("以第一个结果为参考，分割主动脉", 1),
    ("参考第2次分割的结果，分割主动脉", 2),
    ("2号实例的上方是什么", 2),
    ("分割倒数第二轮的肿瘤", 2),
    ("分割上上轮结果的肿瘤", 2),
    ("参考实例1，分割下一个椎体", 1),
]


@pytest.mark.parametrize(("query", "number"), NUMBERS)
def test_numbers_name_the_round(query: str, number: int) -> None:
    found = resolve(query, CHEST)
    assert found is not None
    assert (found.round, found.explicit) == (number, True)
    assert found.phrase
    assert found.phrase in query


@pytest.mark.parametrize(
    ("word", "number"),
    [("one", 1), ("seven", 7), ("twelve", 12), ("十", 10), ("十二", 12), ("二十", 20), ("二十一", 21)],
)
def test_number_words_go_far_enough(word: str, number: int) -> None:
    past = rounds(*"abcdefghijklmnopqrstuvw")
    query = f"the tumor of round {word}" if word.isascii() else f"第{word}轮的肿瘤"
    found = resolve(query, past)
    assert found is not None
    assert found.round == number


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("Segment the tumor of the output of round 5.", 5),
        ("Segment the tumor of instance 0.", 0),
        ("Segment the tumor in [7].", 7),
        ("Segment the tumor in round twelve.", 12),
        ("Segment the tumor in the fourth instance.", 4),
        ("Segment the tumor in the 21st round.", 21),
        ("分割第四轮的肿瘤", 4),
        ("分割实例１２的肿瘤", 12),
        ("Compare instance 1 and instance 9.", 9),
    ],
)
def test_a_number_that_is_not_there_is_an_error_that_says_which_are(query: str, number: int) -> None:
    with pytest.raises(ReferenceNotFound, match=rf"^There is no round {number}: this dialogue has rounds 1 to 3\. "):
        resolve(query, CHEST)


@pytest.mark.parametrize(
    ("past", "has"), [([], "has no round yet"), (CHEST[:1], "has only round 1"), (CHEST[:2], "has rounds 1 to 2")]
)
def test_the_error_tells_the_way_out(past: list[PastRound], has: str) -> None:
    with pytest.raises(ReferenceNotFound, match=has) as caught:
        resolve("Segment the tumor of instance 3.", past)
    assert "structure itself" in str(caught.value)


LATEST = [
    "Segment its tumor.",
    "Please segment its left ventricle and its aorta.",
    "Segment the tumor in it.",
    "Segment the organ to the left of it.",
    "Segment the organ or tissue to the left of it in the image.",
    "Segment the lesion inside that.",
    "Segment the organ that contains it.",
    "Segment the lung that pairs with it.",
    "Segment the organ it belongs to.",
    "Segment the structure it is part of.",
    "Which bone does it touch?",
    "Segment it again.",
    "In this image, segment its tumor.",
    "Thanks, that looks good. Segment its tumor.",
    "Segment their boundary.",
    "Segment the tumor in this organ.",
    "Segment the lesion of that structure.",
    "Segment the vessel next to this one.",
    "Segment the tumor in the last result.",
    "Segment the region before the previous output.",
    "Segment the tumor in the previous round.",
    "Segment the lesion within the latest mask.",
    "Segment the tumor in the most recent segmentation.",
    "Segment the tumor inside the result above.",
    "Segment the lesion inside the previously segmented organ.",
    "Segment the lesion in the organ you just segmented.",
    "Segment the lesion in the aforementioned structure.",
    "Segment the other one.",
    "Now the other one, please.",
    "Segment the previous one.",
    "Segment the next one.",
    "Segment the one above.",
    "Segment the next segment.",
    "Segment the next one below.",
    "Segment the structure on the opposite side.",
    "Segment its counterpart on the other side.",
    "the other",
    "Please locate its tumor and segment it.",
    "请分割它的肿瘤。",
    "请分割其肿瘤。",
    "分割其中的病灶",
    "分割该器官的病变",
    "分割这个结构的边界",
    "在这张CT图像中，请分割它的肿瘤",
    "很好，再分割它的肿瘤",
    "分割包含它的器官",
    "分割图像中它左侧的结构",
    "分割上一轮结果中的肿瘤",
    "分割上一个结果的肿瘤",
    "根据最后一轮的输出，分割主动脉",
    "根据刚才的分割，分割主动脉",
    "请分割另一个",
    "分割上一个",
    "分割下一个。",
    "分割对侧",
]


@pytest.mark.parametrize("query", LATEST)
@pytest.mark.parametrize("past", [CHEST, rounds("spleen"), [PastRound(1, "?"), PastRound(2, "?")]])
def test_words_that_lean_on_something_mean_the_latest_round(query: str, past: list[PastRound]) -> None:
    found = resolve(query, past)
    assert found is not None
    assert found.round == past[-1].number
    assert found.phrase in query


@pytest.mark.parametrize("query", [*LATEST, "Segment the other lung.", "Segment the next vertebra.", "分割另一侧的肺"])
def test_words_that_lean_on_nothing_are_an_error(query: str) -> None:
    with pytest.raises(ReferenceNotFound, match=r"no round yet.*structure itself"):
        resolve(query, [])


@pytest.mark.parametrize(
    ("query", "past", "number"),
    [
        ("Segment the other lung.", CHEST, 1),
        ("Please segment other lung", CHEST, 1),
        ("other lung", CHEST, 1),
        ("Segment the contralateral lung, please.", CHEST, 1),
        ("Segment the lung on the other side.", CHEST, 1),
        ("Segment the opposite lung in this image.", CHEST, 1),
        ("Could you outline the other lung for me?", CHEST, 1),
        ("Please locate the other lung and segment it.", CHEST, 1),
        ("I would like to see the other lung segmented.", CHEST, 1),
        ("Segment the other ventricle.", CHEST, 3),
        ("Segment the other kidney.", CHEST, 3),
        ("Segment another lung.", CHEST, 1),
        ("Segment the previously segmented lung again.", CHEST, 1),
        ("Segment the tumor in that lung.", CHEST, 1),
        ("Segment the tumor in this lung.", CHEST, 1),
        ("Segment the next vertebra.", SPINE, 2),
        ("Segment the previous vertebra.", SPINE, 2),
        ("Segment the following vertebra.", SPINE, 2),
        ("Segment the next lower vertebra.", SPINE, 2),
        ("Segment the next vertebra down.", SPINE, 2),
        ("Segment the vertebra above.", SPINE, 2),
        ("Segment the vertebra one level below in this image.", SPINE, 2),
        ("Segment the vertebra above it.", SPINE, 3),
        ("Segment the other parotid.", rounds("left parotid gland", "mandible"), 1),
        ("Segment the other parotid gland.", rounds("left parotid gland", "left adrenal gland"), 1),
        ("Segment the other lung.", rounds("left lung", "lung nodule"), 1),
        ("Segment the other kidney.", rounds("kidney left", "liver"), 1),
        ("Segment the other hippocampus.", rounds("left hippocampus", "brainstem"), 1),
        ("The left lung is fine, now the other lung.", CHEST, 1),
        ("Segment the other lung.", [PastRound(1, "Segment the left lung."), PastRound(2, "Segment the heart.")], 1),
        ("请分割另一侧的肺。", CHEST_ZH, 1),
        ("分割对侧肺", CHEST_ZH, 1),
        ("请帮我把另一个肺分割出来", CHEST_ZH, 1),
        ("另一侧肺在哪里？", CHEST_ZH, 1),
        ("分割另一侧的肺的轮廓", CHEST_ZH, 1),
        ("分割另一侧肾脏", rounds("左肾", "肝脏"), 1),
        ("分割下一个椎体", rounds("L3椎体", "L4椎体", "椎管"), 2),
        ("分割下方的椎体", rounds("L3椎体", "L4椎体", "椎管"), 2),
        ("分割上一节椎体", rounds("L3椎体", "L4椎体", "椎管"), 2),
        ("分割这个肺的肿瘤", CHEST_ZH, 1),
    ],
)
def test_the_other_and_the_next_prefer_their_own_kind(query: str, past: list[PastRound], number: int) -> None:
    found = resolve(query, past)
    assert found is not None
    assert (found.round, found.explicit) == (number, False)


KIDNEYS = rounds("left kidney", "liver", "right kidney")


@pytest.mark.parametrize(
    ("query", "past", "number"),
    [
        ("Based on the left kidney, segment the spleen.", KIDNEYS, 1),
        ("Segment the spleen with reference to the liver.", KIDNEYS, 2),
        ("Segment the spleen with reference to the Liver", KIDNEYS, 2),
        ("Segment the spleen relative to the left kidney's mask.", KIDNEYS, 1),
        ("Using the mask of the liver, segment the gallbladder.", KIDNEYS, 2),
        ("Given the segmented liver, find the gallbladder.", KIDNEYS, 2),
        ("Segment the spleen with reference to the kidney.", KIDNEYS, 3),
        ("Segment the cyst in the left kidney.", KIDNEYS, 1),
        ("Segment the organ above the liver.", KIDNEYS, 2),
        ("Segment the other kidney with reference to the left kidney.", KIDNEYS, 1),
        ("For the liver, segment its vessels.", KIDNEYS, 2),
        ("Segment the tumor inside Segment_1.", rounds("Segment_1", "Segment_11"), 1),
        ("Segment the tumor inside 'Segment_11'.", rounds("Segment_1", "Segment_11"), 2),
        ("Based on my ROI (draft), segment the tumor.", rounds("ROI (draft)", "liver"), 1),
        ("with reference to the left kidney", rounds("left kidney", "kidney", "left kidney", "heart"), 3),
        ("以左肾为参考，分割脾脏", rounds("左肾", "肝脏"), 1),
        ("基于左肾的分割结果，分割脾脏", rounds("左肾", "肝脏"), 1),
        ("参考左肾分割脾脏", rounds("左肾", "肝脏"), 1),
        ("分割左肾中的囊肿", rounds("左肾", "肝脏"), 1),
        ("分割左肾的囊肿", rounds("左肾", "肝脏"), 1),
        ("根据病灶A分割水肿区", rounds("病灶A", "肝脏"), 1),
    ],
)
def test_names_of_earlier_rounds(query: str, past: list[PastRound], number: int) -> None:
    found = resolve(query, past)
    assert found is not None
    assert found.round == number
    assert found.phrase in query


NOTHING = [
    "Segment the left lung in the medical image.",
    "left kidney",
    "Segment vertebra L4.",
    "Segment the vertebra L4.",
    "Segment rib 7.",
    "Segment T12.",
    "Segment C2 and C3.",
    "Segment the first rib.",
    "Segment the last rib.",
    "Segment the second lumbar vertebra.",
    "Segment the third ventricle.",
    "Segment lobe 3.",
    "Segment the 4 chambers.",
    "Segment segment 4 of the liver.",
    "Segment liver segment 2.",
    "Segment the second segment of the duodenum.",
    "Segment the first structure on the left.",
    "Segment the round 2 cm lesion.",
    "Segment the round ligament.",
    "Segment the second round nodule.",
    "Segment the tissue around 2 vessels.",
    "In the first instance, segment the liver.",
    "Segment the L4-L5 intervertebral disc.",
    "Segment the heart and its chambers.",
    "Segment the heart with its chambers.",
    "Segment the liver, including its vessels.",
    "Please locate the liver and segment it.",
    "Where is the spleen? Please outline it.",
    "Segment the tumor and the tissue around it.",
    "Segment the liver if it is visible.",
    "If it exists, segment the gallbladder.",
    "Is it possible to segment the liver?",
    "Segment the left lung and the other lung.",
    "Segment the left kidney and the other one.",
    "Segment all structures other than the liver.",
    "On the other hand, segment the liver.",
    "Segment the liver and other organs.",
    "Segment the other organs.",
    "Next, segment the liver.",
    "Next segment the liver.",
    "Segment the organ next to the liver.",
    "In the next step, segment the liver.",
    "Segment the following structure: liver.",
    "Segment the liver as in the previous slice.",
    "Segment the previous infarct.",
    "Segment the liver on the next image.",
    "Segment the tumor in this image.",
    "Segment the heart of this patient.",
    "After that, segment the liver.",
    "Segment the cavity that receives blood from the lungs.",
    "Segment the artery on the same side as the tumor.",
    "Provide the mask of the liver.",
    "I need a segmentation of the liver.",
    "Show the result of the liver.",
    "请分割左肺。",
    "分割第二腰椎",
    "分割第一肋",
    "分割第三脑室",
    "分割第7颈椎",
    "分割第二个腰椎",
    "分割L4椎体",
    "分割心脏及其腔室",
    "分割心脏和它的腔室",
    "找到肝脏并分割它",
    "分割其他器官",
    "分割其余的结构",
    "尤其是肝脏",
    "请输出一个肝脏的掩码",
    "输出2个掩码：肝脏和脾脏",
    "分割肝脏，结果一定要准确",
    "下一步，分割肝脏",
    "分割肝脏下方的肾",
    "分割左肺上叶",
    "分割该图像中的肝脏",
    "分割这张图像中的肝脏",
    "分割此患者的肝脏",
    "给出肝脏的分割结果",
]


@pytest.mark.parametrize("query", NOTHING)
@pytest.mark.parametrize("past", [[], rounds("cornea"), rounds("角膜", "胰腺")])
def test_anatomy_and_ordinary_words_refer_to_nothing(query: str, past: list[PastRound]) -> None:
    assert resolve(query, past) is None


@pytest.mark.parametrize(
    "query",
    [
        "Segment the left kidney.",
        "Segment the left kidney again.",
        "Segment the liver and the left kidney.",
        "Give me the mask of the left kidney.",
        "Where is the left kidney?",
        "Segment the spleen instead of the left kidney.",
        "Based on the right kidney, segment the spleen.",
    ],
)
def test_a_name_alone_is_no_reference(query: str) -> None:
    assert resolve(query, rounds("left kidney", "liver")) is None


@pytest.mark.parametrize("query", ["请分割左肾。", "给出左肾的掩码", "分割左肾的轮廓", "分割左肾上腺", "左肾在哪里？"])
def test_a_chinese_name_alone_is_no_reference(query: str) -> None:
    assert resolve(query, rounds("左肾", "肝脏")) is None


def test_what_is_handed_back() -> None:
    assert resolve("Segment the other lung.", CHEST) == Reference(round=1, phrase="the other lung", explicit=False)
    assert resolve("分割［２］的肿瘤", CHEST) == Reference(round=2, phrase="［２］", explicit=True)


STEPS = [
    ("Move one level down and segment that.", 2),
    ("Please descend by a single vertebra and segment it.", 2),
    ("Go back up by one.", 2),
    ("And what about the second kidney?", 1),
    ("There must be one more kidney somewhere.", 1),
    ("Segment the kidney on the remaining side.", 1),
    ("Segment the lesion in no. 1 above.", 1),
    ("Number 2 above has a disc beneath, segment that.", 2),
    ("往上移一节，分割出来。", 2),
    ("向头的方向数一个椎体。", 2),
    ("继续往下，标出椎体。", 2),
    ("还有一侧肺在哪里？", 3),
]


@pytest.mark.parametrize(("query", "number"), STEPS)
def test_steps_along_a_chain_and_one_more_of_a_pair(query: str, number: int) -> None:
    past = [*rounds("left kidney", "vertebra L2"), PastRound(3, "分割左肺。", "左肺")]
    found = resolve(query, past[: max(number, 2)])
    assert found is not None
    assert found.round == number
    assert found.phrase
    assert found.phrase in plain(query)


@pytest.mark.parametrize(
    "query", ["Shift down one and shade that vertebra.", "Going up, which vertebra is next?", "往下挪一节，画腰椎。"]
)
def test_a_step_is_taken_from_what_the_chain_is_made_of(query: str) -> None:
    name = "腰椎L2" if not query.isascii() else "vertebra L2"
    found = resolve(query, rounds("liver", name, "heart"))
    assert found is not None
    assert found.round == 2


def test_what_a_query_names_itself_is_what_it_draws() -> None:
    past = rounds("left adrenal gland")
    assert resolve("Now the adrenal gland: colour it in.", past) is None
    for query in (
        "For the adrenal gland, segment its vessels.",
        "Look at the adrenal gland, segment the tumor in it.",
        "Now the adrenal gland of the remaining side.",
    ):
        found = resolve(query, past)
        assert found is not None, query
        assert found.round == 1


@pytest.mark.parametrize(
    "query",
    [
        "And the second rib?",
        "Where is the second left rib?",
        "Where's the second largest rib?",
        "Where is the second part of the rib?",
        "I am looking for the second rib, could you colour it in?",
        "The second rib is what interests me, so please annotate it.",
        "Now the spleen, and the second lumbar vertebra.",
        "Segment one more organ for me: the spleen.",
        "Segment vertebra number 1.",
        "Segment the number 4 rib above the liver dome.",
        "还有一个脾脏，请分割。",
        "请分割降主动脉。",
    ],
)
def test_names_with_numbers_and_other_kinds_lean_on_nothing(query: str) -> None:
    assert (
        resolve(query, [PastRound(1, "Segment the first rib.", "first rib"), PastRound(2, "分割左肺。", "左肺")])
        is None
    )


EVERYDAY = [
    "And the twin?",
    "Where's the mate?",
    "Paint the fellow lung.",
    "Tag the remaining lung.",
    "Annotate the remaining one of the pair.",
    "Now the missing lung of the pair.",
    "That was one of two. Fill in the second one.",
    "Cross the midline and draw the matching lung.",
    "And what about the lung across the midline?",
    "Swap sides, please.",
    "the other of the two",
    "Complete the pair.",
    "Ditto, other side.",
    "For symmetry, paint the lung that matches.",
    "Move down a level.",
    "Climb one vertebra higher.",
    "One rung lower, please.",
    "One notch up.",
    "one below",
    "Could we look one lower?",
    "Heading caudally, which vertebra comes first?",
    "Travelling on towards the skull, what do I meet?",
    "Carry on upwards.",
    "Skip to the one overhead.",
    "Slide down to the adjacent one.",
    "Shift by one towards the legs.",
    "Next in line?",
    "The caudal neighbour, could you shade that?",
    "Now the vertebra closer to the sacrum.",
    "Could you swap sides?",
    "Same thing on the contralateral side.",
    "Cross the midline and draw the counterpart.",
    "The lung on the far side.",
    "Lung opposite.",
    "the remaining one",
    "Go down one.",
    "Up a notch.",
    "A step higher.",
    "Two levels down.",
    "One level down; fill the whole thing in.",
    "Going down the spine, what comes next?",
    "Vertebra below?",
    "Swap sides and give me a clean outline.",
    "Finish the pair and make the mask red.",
    "Continue upwards along the spine.",
    "Any cysts inside?",
    "Which organ is this in?",
    "The other one: colour it.",
]


@pytest.mark.parametrize("query", EVERYDAY)
def test_everyday_words_for_the_other_of_a_pair_and_the_next_in_a_chain(query: str) -> None:
    last = "vertebra L3" if "vertebra" in query else "left lung"
    found = resolve(query, rounds("spleen", last))
    assert found is not None
    assert (found.round, found.explicit) == (2, False)


@pytest.mark.parametrize(
    "query",
    [
        "Colour in the left lung.",
        "I'm after the left lung.",
        "Trace the edge of the left lung.",
        "All of the left lung, please.",
        "Scroll down to the liver.",
        "Slide down to the liver and shade the whole organ.",
        "Outline the artery going down the leg.",
        "Segment the nerve heading towards the neck.",
        "Segment the fibers that cross the midline.",
        "Segment the remaining liver.",
        "Carry on with the lower esophagus.",
        "Segment the tooth closer to the neck.",
        "Going down, the rectum.",
        "One slice lower, outline the right lung.",
        "The pancreas lies across the midline; outline the tail.",
        "Walk down the spine to L4 and mark L4.",
        "Head for the pelvis: bladder, please.",
        "Ditto for the pancreas.",
        "Same again but the pancreas.",
        "Switch sides: right kidney.",
        "Outline the larger of the two lesions in the liver.",
        "Try the other organ: the stomach.",
        "Next one is the spleen.",
        "Next L4.",
        "Follow the aorta down to its bifurcation.",
        "The spleen - can you colour it?",
        "The remaining parenchyma of the right lung.",
        "Focus on the left lung.",
        "Draw a line around the left lung.",
        "The boundaries of the left lung.",
    ],
)
def test_everyday_words_that_lean_on_nothing(query: str) -> None:
    assert resolve(query, rounds("heart", "left lung")) is None
