"""Which earlier round everyday Chinese refers to: tables of queries, each with what is understood."""

import pytest

from MediRoundLib.chinese import leaning
from MediRoundLib.dialogue import PastRound
from MediRoundLib.language import plain
from MediRoundLib.references import resolve
from training.data.entities import entities


def rounds(*names: str) -> list[PastRound]:
    return [PastRound(number, f"分割{name}。", name) for number, name in enumerate(names, start=1)]


PAST = rounds("左肾", "腰椎L2")


def leaned_on(query: str) -> int:
    """The round of `PAST` that the query leans on without naming it."""
    found = resolve(query, PAST)
    assert found is not None
    assert not found.explicit
    assert found.phrase in query
    return found.round


@pytest.mark.parametrize(
    "query",
    [
        "我要复习一下：它后方的肌肉",
        "老师，它将血液泵入的动脉在什么地方？",
        "写病历用，请描出它的皮质。",
        "累及它的梗死灶，点一下。",
        "退一步，包含它的器官，标。",
        "这张胸片不太会看，它左侧的结构是什么？",
        "换边再画一次。",
        "两边都要，还差另一边。",
        "成对的东西，另一只也描一描。",
        "再来对侧的，我要量两边的差别。",
        "往下一个。",
        "下移一节，涂。",
        "再低一节的椎骨呢？",
        "往骨盆方向退一节，画。",
        "往脖子那头再数一个椎骨。",
        "靠近颅骨的那个邻居，上色。",
        "足侧相邻的椎骨，请高亮。",
        "编号再大一号的椎骨。",
        "升一个节段，请上色。",
        "上首的椎骨呢？",
        "顺着脊柱往下，下一站。",
        "剩下的那个。",
        "剩下那只也画上。",
        "还差一个。",
        "里面有没有病灶？",
        "下一个是什么？",
    ],
)
def test_words_around_a_request_are_no_structure_that_it_means(query: str) -> None:
    assert leaned_on(query) == 2


@pytest.mark.parametrize(
    "query",
    [
        "那一侧的肾呢？",
        "换一侧，同样的肾。",
        "这边看好了，那边的肾也看看。",
        "相反一侧的肾，框住。",
        "配对的肾也画了吧。",
        "余下的肾也给我。",
        "第二个肾在哪？",
        "健侧的肾在哪？对照着看。",
        "还差一个肾。",
        "另一侧：肾。",
        "左边那个肾的囊肿。",
    ],
)
def test_the_other_of_a_pair_is_that_of_its_kind(query: str) -> None:
    assert leaned_on(query) == 1


@pytest.mark.parametrize(
    "query",
    [
        "我要复习一下：脾脏，描出来。",
        "我要复习脾脏：它的边界在哪？",
        "先看杏仁核，把它涂满。",
        "视网膜出血在哪，请把它圈住。",
        "分割第二个腰椎。",
        "第二个颈椎在哪？",
        "余下的器官都不要，只画脾脏。",
        "升主动脉，涂。",
        "降主动脉，涂。",
        "下一位病人，先画脾脏。",
        "换一层图像，分割脾脏。",
        "上一层图像里的脾脏。",
        "下一号病床的患者，脾脏在哪？",
        "靠近骨盆的淋巴结，圈出来。",
        "脾脏下移了吗？涂出来。",
        "脾脏高低不平，描边。",
        "请沿着脾脏的边缘走一圈。",
        "同样的颜色，涂脾脏。",
        "上级医生要看脾脏。",
        "脾脏和肝脏挨着，那边界描一下。",
        "往下走的主动脉。",
        "从肾往下走到膀胱的管子。",
        "往头侧走的颈动脉。",
        "最上面的椎体。",
        "最低一节腰椎。",
        "从上往下数第三个腰椎。",
        "继续往下看膀胱。",
        "下面画脾脏。",
        "右下方的大器官，脾脏。",
        "下一个：脾脏。",
        "下一个器官是脾脏。",
        "上一级医院要看脾脏。",
        "还差一个脾脏。",
        "靠右的那个肾。",
        "右侧那边的肾。",
        "左肾的边缘。",
        "里面装尿的器官。",
    ],
)
def test_what_names_its_structure_leans_on_nothing(query: str) -> None:
    assert resolve(query, PAST) is None


def test_every_name_is_a_structure_that_a_pronoun_behind_it_means() -> None:
    names = {name for entity in entities().values() for name in entity.names["zh"]}
    for name in names:
        assert all(lean.only_kind for lean in leaning(plain(f"这是{name}，请把它涂满。"))), name
