"""Chinese words that lean on an earlier round, as tables of patterns; `references.py` says what they mean. No torch.

Patterns are for text with ordinary digits, brackets and commas. A group `n` or `word` holds a number, a group `noun` a
kind of structure.
"""

import re
from collections.abc import Iterator

from MediRoundLib.language import CHINESE, Lean

_FIGURES = "〇一二三四五六七八九"
_VALUES = {figure: value for value, figure in enumerate(_FIGURES)} | {"零": 0, "两": 2}

# ---- words ----

MADE = "实例|结果|输出|掩码|掩膜|分割结果|分割|回答|答案|预测"
VERBS = "分割|标出|标注|标记|勾画|勾勒|描绘|画出|找到|找出|给出|提供|显示|展示|指出|提取|识别|定位|检测|圈出|生成"
IMAGING = "图像|影像|图片|切片|扫描|画面|图"
# Words of a request that name no structure; what is left of a text without them is one.
_FILLERS = re.compile(
    rf"{VERBS}|{IMAGING}|请|麻烦|帮我|帮忙|你|我|想|要|看|能不能|能否|可以|可否|能|现在|然后|接着|再|先|也|很好|好的|不错"
    r"|谢谢|是的|对了|给|输出|进行|医学|这张|该|此|这|那|在|把|将|对|于|位于|中|里|内|上|的|出来|出|一下|左|右|侧|边|根据|基于"
    r"|参考|参照|结果|哪里|哪|个|是|处|区域|结构|器官|轮廓|位置|[\s,.;:!?A-Za-z0-9\[\]]"
)
# Parts of structures' names. Words of a request are without end ("我要复习一下", "麻烦老师"), those of anatomy are few:
# what has none of them names no structure that a pronoun behind it could mean.
_ANATOMY = re.compile(
    r"肝|胆|脾|胃|肠|胰|肾|肺|心[脏室房肌包耳瓣腔]|脑|海马|胼胝|骨|椎|肋|关节|半月板|脊|动脉|静脉|血管|主干|头臂|腺|垂体|肌|神经|视[交辐盘杯]"
    r"|眼球|晶状|角膜|黄斑|中央凹|耳|鼻|窦|喉|咽|食[管道]|气[管道]|膀胱|尿|子宫|卵巢|睾丸|胎|皮[肤质损]|髓|瘤|癌|坏死|增生|渗出|色素痣|结节|囊|肿"
    r"|病[灶变]|可疑|梗死|血肿|出血|积液|息肉|淋巴|胸|腹|盆|腔|叶|瓣|壳核|苍白球|尾状核|杏仁|隔核|丘|乳|唇|牙|舌|腭|韧带|肢|脂肪|导管|器械"
)
# Ends of the body that say a direction, and regions that say which picture it is: neither is a structure asked for.
_END = "头顶?|颅骨?|脖子|脚|足|尾骨?|骨盆|臀部"
_ASIDE = re.compile(
    rf"(?:[往向朝靠离]近?)(?:{_END})|(?:{_END})(?:侧|端|那[头边侧]|的?方向)|[顺逆沿]着?脊[柱椎]|[胸腹盆头脑]部?(?:片|平扫|CT|MR)"
)
_THING = "器官|结构|区域|部位|组织|实例|分割|掩码|掩膜|病灶区域|目标"
_COUNTER = "[个节块根条段颗只枚处支侧边]"

# ---- explicit numbers ----

NUMBER = rf"(?P<n>\d{{1,4}})(?!\d)|(?P<word>[{_FIGURES}零两十百]+)"
# An earlier pattern is surer than a later one.
NUMBERED = [
    re.compile(text)
    for text in (
        rf"第\s*(?:{NUMBER})\s*(?:轮|回合)",
        # 实例二, and not 实例一样.
        rf"(?:实例|轮次|回合)\s*(?:第|编号|号)?\s*[#:]?\s*(?:{NUMBER})(?![个种样致])",
        rf"第\s*(?:{NUMBER})\s*(?:[个号张幅]\s*)?(?:{MADE}|问题|提问)",
        rf"第\s*(?:{NUMBER})\s*次的?\s*(?:{MADE}|问题|提问)",
        rf"(?:{NUMBER})\s*号\s*(?:{MADE})",
        # 请输出2个掩码 asks for two.
        r"(?:结果|输出|掩码|掩膜)\s*(?P<n>\d{1,4})(?!\d|\s*[个张幅种])",
    )
]
# From the end, where 1 is the latest round; the pattern without a number is the last but one.
COUNTED_BACK = [
    re.compile(text)
    for text in (
        rf"(?:{NUMBER})\s*轮(?:之前|以前)",
        rf"倒数第\s*(?:{NUMBER})\s*(?:轮|回合|[个次]的?\s*(?:{MADE}))",
        rf"上上(?:一?轮|一?次|个的?(?:{MADE}))",
    )
]
LATEST = re.compile(
    rf"[上前]一?(?:轮|回合|次|步)|[上前]一?[个张](?:{MADE})|最后一?(?:轮|次|[个张](?:{MADE}))|最[近新]一?[轮次]"
    rf"|最[近新]的?(?:{MADE})|(?:上述|上面|前面|之前|先前|此前|刚才|刚刚)的?(?:{MADE})(?!过|的|出)"
)

# ---- names ----

BASED_ON = "根据|基于|参考|参照|依据|按照|相对于|结合|利用|借助"
_PLACED_BEFORE = "包含|包绕|包围|围绕|紧邻|毗邻|邻近|靠近|位于|属于"
# 左肾的囊肿 leans on the kidney, 左肾的掩码 asks for it.
_PLACED_AFTER = (
    "中|内|里(?!外)|的(?!(?:分割)?(?:区域|轮廓|位置|掩码|掩膜|边界|边缘|范围|分割|部位|图像|全部|整体|像素|样子|大小|形状))"
    "|[上下前后]方|[上下前后]面|[左右]侧|[左右]边|周围|附近|旁|对侧|表面|边缘|所在(?!区域|位置)|所属"
)

# ---- words that lean on something ----

_PRONOUN = re.compile(
    rf"它们?|(?<![尤极与莫何])其(?![他她它余次实])|(?:该|此|[这那]一?[个块片]?)(?:{_THING})|(?<![\u4e00-\u9fff])里面(?=的|有没有)"
)
# What is named before one of these may be what a pronoun behind it means: 心脏及其腔室.
_BREAK = re.compile(r"[,.;:!?]|以及|连同|包括|还有|及|和|与|并|且|或")
_NOUN = r"(?P<noun>[\u4e00-\u9fff]*)"
_RELATIVE = [
    re.compile(f"(?:{text})的?{_NOUN}")
    for text in (
        f"另外?一?{_COUNTER}|另一[只半]|另一(?=的)|对侧|对面|对边|同侧|相反的?一?[侧边]|反[侧面]",
        "(?<![左右][侧边])那一?[侧边](?![缘界])|换一?[侧边](?:,?同样)?",
        f"(?<!最)[上下前后]一{_COUNTER}|(?<![最左右])[上下][面方](?:相邻)?(?!那?[张幅])|相邻(?![^,.的]*之间)",
        rf"[上下前]一[级层号位站](?!病人|患者|病床|老师|同学|医[院生师]|的?\s*(?:{IMAGING}|CT|MR))|[上下][首家](?=的)|[上下]边那{_COUNTER}",
        rf"(?<!最)[高低]一[级层位{_COUNTER[1:-1]}]|(?:编号|序号|号码)再?[加减大小]一号?|更靠[上下头颅脚足尾]侧?(?=的)",
        f"(?:更?靠近?|离)(?:{_END})更?近?的那?个?邻居|(?:头|颅|足|尾)侧?紧[邻挨]着?",
        f"(?:之前|先前|此前|前面|已经?|刚才|刚刚)(?:{VERBS})(?:出来?)?过?",
    )
]
# A step along a chain: 往下挪一格, 往脚的方向再数一个椎骨, 挨着往下, 下移一节, 升一个节段.
_TOWARDS = rf"(?<!从[上下头脚足])[往向朝](?:[上下]|(?:{_END})(?:侧|端|那[头边侧]|的?方向)?)"
_STEP = re.compile(
    rf"(?:{_TOWARDS}(?:再|继续)?(?:[挪移数走退进行](?:到?[一下]?[格步{_COUNTER[1:-1]}]|(?![到行的]|第[^一]))|一{_COUNTER})"
    rf"|(?:继续|挨着|[顺逆]着){_TOWARDS}|[上下][移行挪退]一?[格位{_COUNTER[1:-1]}]|[升降]一个?节?段){_NOUN}"
)
# What is left of a pair, where there is an earlier one; 第二个腰椎 is a level's name.
_ONE_MORE = re.compile(
    rf"(?:还有一{_COUNTER}|(?:配对|成对|余下|剩下|剩余|同样|健侧|对照侧)的?(?:那[个只侧])?|第二[个只](?![^,.;:!?]*(?:[椎肋骨趾牙]|手指))){_NOUN}"
)
# What is left of a pair, said without its kind: 剩下的那个, 还差一侧.
_LEFT_OVER = re.compile(rf"(?:(?:剩下|余下|剩余)的?[那另]一?[个只侧边]|还[差剩]一[个只侧边]){_NOUN}")
_THIS_KIND = re.compile(rf"(?:该|此|[这那]一?[个块片侧]?){_NOUN}")
# Where the kind of structure ends: 另一侧的肺的轮廓, 另一侧肺在哪里.
_NOUN_END = re.compile(r"的|在|并|吗|呢|是|也|看|画|没|分割|标|勾|出来|一下|进行|找|所")


def number(word: str) -> int:
    """The value of a numeral up to 999, such as 二十一."""
    hundreds, _, rest = word.rpartition("百")
    tens, ten, ones = rest.rpartition("十")
    value = 100 * _VALUES.get(hundreds[-1:], 1) if hundreds or "百" in word else 0
    return value + (10 * _VALUES.get(tens[-1:], 1) if ten else 0) + _VALUES.get(ones[-1:], 0)


def is_common(name: str) -> bool:
    """Whether a name that a user gave is made of words that every query has: 图像, 左侧, 结果."""
    return not _structure(name) and not re.search(r"[A-Za-z0-9]", name)


def leaning_on_name(text: str, name: str, whole: bool = True) -> Iterator[Lean]:
    """Where the text leans on a structure by its name; with `whole` False only after words such as 根据."""
    words = r"\s+".join(re.escape(word) for word in name.split())
    if not CHINESE.search(name):
        words = rf"(?<![A-Za-z0-9_-]){words}(?![A-Za-z0-9_-])"
    name = rf"\s*[\"']?(?P<name>{words})[\"']?\s*"
    forms = [
        rf"(?:{BASED_ON}|使用|以|按)(?:上述|之前|前面)?的?{name}",
        rf"(?:把|将|用){name}(?:作为|当作|当成)",
    ]
    if whole:
        forms.append(rf"(?:{_PLACED_BEFORE}){name}")
        forms.append(rf"(?<![左右]){name}(?:{_PLACED_AFTER})")
    for form in forms:
        for match in re.finditer(form, text, re.IGNORECASE):
            yield Lean(*match.span("name"))


def leaning(text: str) -> Iterator[Lean]:
    """Words of the text that lean on something said before, the surest first."""
    yield from _pronouns(text)
    for pattern in _RELATIVE:
        for match in pattern.finditer(text):
            clause = re.split(r"[,.;:!?]", text[: match.start()])[-1]
            yield _lean(text, match, only_kind=bool(_anatomy(clause)), told="[:是看画]")
    for match in _STEP.finditer(text):
        yield _lean(text, match, told="[,:是看]")
    for match in _LEFT_OVER.finditer(text):
        yield _lean(text, match, only_kind=bool(_anatomy(match["noun"])), told="[,:是看]")
    for match in _ONE_MORE.finditer(text):
        if _until_its_end(match["noun"]):
            yield _lean(text, match, only_kind=True)
    for match in _THIS_KIND.finditer(text):
        lean = _lean(text, match, only_kind=True)
        # 左边那个肾 says which one it is, 左边那个肾的囊肿 leans on it.
        says_which = re.search(r"[左右上下大小][侧边方面]?的?$", text[: match.start()])
        if lean.noun and (not says_which or text.startswith("的", lean.end)):
            yield lean


def _lean(text: str, match: re.Match[str], only_kind: bool = False, told: str = "") -> Lean:
    """A lean on the kind of a match; after one of the characters `told`, the text may name what it asks for itself."""
    noun = _until_its_end(match["noun"])
    end = match.start("noun") + len(noun)
    own = _anatomy(text[end:]) if told and not _anatomy(noun) and re.match(rf"\s*{told}", text[end:]) else ""
    # Of what a chain is made of, no name says so: 往下一节, 画椎骨.
    chain = bool(re.search(r"[椎肋]", own))
    return Lean(match.start(), end, own or noun, only_kind or bool(own and not chain))


def _pronouns(text: str) -> Iterator[Lean]:
    for match in _PRONOUN.finditer(text):
        breaks = list(_BREAK.finditer(text, 0, match.start()))
        before = _anatomy(text[: breaks[-1].start()]) if breaks else ""
        if not before:
            yield Lean(*match.span())
        elif breaks[-1][0] in ",.;:!?":
            yield Lean(*match.span(), before, only_kind=True)


def _structure(text: str) -> str:
    """What a text names besides the words of a request; "" for nothing."""
    return "".join(re.findall(r"[\u4e00-\u9fff]+", _FILLERS.sub("", text)))


def _anatomy(text: str) -> str:
    """The structure that a text names, with what words there are around it; "" where it is a request alone."""
    text = _ASIDE.sub("", text)
    return _structure(text) if _ANATOMY.search(text) else ""


def _until_its_end(noun: str) -> str:
    end = _NOUN_END.search(noun)
    return noun[: end.start()] if end else noun
