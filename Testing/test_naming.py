"""Names of structures in queries, and names beside a structure on the other side."""

import pytest

from MediRoundLib.naming import name_beside, structure_name

ENGLISH = [
    ("Segment the left lung in the medical image.", "left lung"),
    ("Please segment the other lung.", "other lung"),
    ("Segment the tumor of the output of round 1.", "tumor"),
    ("Provide the mask for the next vertebra.", "next vertebra"),
    ("Segment the heart with reference to instance 2.", "heart"),
    ("Segment the aorta in the image.", "aorta"),
    ("Please segment the other parotid with reference to instance 1.", "other parotid"),
    ("Please segment the left parotid gland.", "left parotid gland"),
    ("Could you outline the left parotid gland for me?", "left parotid gland"),
    ("Segment the cavity that receives blood from instance 1.", "cavity that receives blood"),
    ("Segment its left ventricle.", "left ventricle"),
    ("Segment the region before the previous output.", "region"),
    ("Where is the spleen?", "spleen"),
    ("What is the organ to the left of instance 1?", "organ"),
    ("Can you show me the liver?", "liver"),
    ("I want the mask of the right kidney.", "right kidney"),
    ("Could you please help me outline the pancreas in this CT slice?", "pancreas"),
    ("left kidney", "left kidney"),
    ("Liver, please", "Liver"),
    ("left kidney, please.", "left kidney"),
    ("Mask of left kidney.", "left kidney"),
    ("Segment L4.", "L4"),
    ("segment vertebra L4", "vertebra L4"),
    ("Segment the L4-L5 intervertebral disc.", "L4-L5 intervertebral disc"),
    ("Segment the 4 chambers.", "4 chambers"),
    ("Segment rib 7", "rib 7"),
    ("Based on the output of round 1, segment the tumor.", "tumor"),
    ("With reference to the left kidney, please segment the spleen", "spleen"),
    ("Based on instance 2 segment the tumor", "tumor"),
    ("Given instance 2, find the previous vertebra.", "previous vertebra"),
    ("Segment the previous vertebra based on instance 2.", "previous vertebra"),
    ("From the result of round 1 segment the tumor", "tumor"),
    ("In round 2, segment the tumor", "tumor"),
    ("Segment instance 2's tumor.", "tumor"),
    ("Segment the heart and its chambers.", "heart and its chambers"),
    ("Segment the tumor in it.", "tumor"),
    ("Segment it.", ""),
    ("Segment it again.", ""),
    ("Segment the organ that contains it.", "organ"),
    ("Segment the vessel into which [1] pumps blood.", "vessel"),
    ("Segment the structure that lies to the left of instance 1 in the image.", "structure"),
    ("Please locate the liver and segment it.", "liver"),
    ("Find and segment the liver.", "liver"),
    ("Show me where the liver is.", "liver"),
    ("I would like to see the liver segmented.", "liver"),
    ("Which pixels belong to the liver?", "liver"),
    ("What is the region of the liver?", "liver"),
    ("Give me a segmentation of the liver.", "liver"),
    ("Create a segmentation mask for the liver.", "liver"),
    ("Now the other kidney.", "other kidney"),
    ("Segment segment 4 of the liver.", "segment 4 of the liver"),
    ("Segment the head of the left femur", "head of the left femur"),
    ("Segment Barrett's esophagus", "Barrett's esophagus"),
    ("Is it possible to segment the liver?", "liver"),
    ("Segment the liver if it is visible.", "liver"),
    ("My patient has jaundice. Segment the gallbladder.", "gallbladder"),
    ("In this image, segment the liver.", "liver"),
    ("Segment the cyst in the left kidney.", "cyst in the left kidney"),
    ("Segment the lesion inside the previous output.", "lesion"),
    ("Segment the lesion in [2].", "lesion"),
    ("Extract the lung from the image.", "lung"),
    ("Segment all metastases", "metastases"),
    ("Segment the other lung based on the output of round 1, please.", "other lung"),
    ("Segment the spinal cord with reference to the output of round 2.", "spinal cord"),
    ("Segment the vertebra that surrounds instance 1.", "vertebra"),
    ("Based on the output of round 1, segment the other kidney once more.", "other kidney"),
    ("Segment the second lumbar vertebra.", "second lumbar vertebra"),
    ("Segment the artery on the same side as the tumor.", "artery on the same side as the tumor"),
    ("the tumor of round 1", "tumor"),
    ("the tumor, please", "tumor"),
    ("Segment the liver in the given image.", "liver"),
    ("Using the mask of the liver, segment the gallbladder.", "gallbladder"),
    ("Segment everything.", "everything"),
    ("", ""),
    ("Segment", ""),
    ("Can you do the right one?", "right one"),
    ("Segment this lesion.", "lesion"),
    ("What is this?", ""),
    ("Refine it.", ""),
    ("Segment what's to the left of the liver", "left of the liver"),
    ("With the liver as reference, segment the gallbladder", "gallbladder"),
    ("Segment the other lung ｗｉｔｈ reference to instance １", "other lung"),
    ("Could you delineate the intervertebral disc directly below it?", "intervertebral disc"),
    ("Please locate the structure right of [3] as seen in the image and segment it.", "structure"),
]
CHINESE = [
    ("请分割左肺。", "左肺"),
    ("分割图像中的左侧腮腺", "左侧腮腺"),
    ("请根据第1轮的输出分割肿瘤", "肿瘤"),
    ("分割第一轮输出中的肿瘤", "肿瘤"),
    ("请分割第1轮输出中的肿瘤。", "肿瘤"),
    ("把肝脏分割出来", "肝脏"),
    ("请将右肾标注出来", "右肾"),
    ("请帮我标出主动脉", "主动脉"),
    ("给出左心室的掩码", "左心室"),
    ("我想看脾脏", "脾脏"),
    ("胰腺在哪里?", "胰腺"),
    ("请分割另一侧的肾", "另一侧的肾"),
    ("分割它的肿瘤", "肿瘤"),
    ("参考实例1，分割另一个肺", "另一个肺"),
    ("以左肾为参考分割脾脏", "脾脏"),
    ("参考左肾分割脾脏", "脾脏"),
    ("基于左肾的分割结果，分割脾脏", "脾脏"),
    ("实例2的上一个椎体", "上一个椎体"),
    ("请对左肺进行分割", "左肺"),
    ("图中的肝脏在哪", "肝脏"),
    ("请分割出肝脏", "肝脏"),
    ("请提供下一个椎体的掩膜", "下一个椎体"),
    ("哪个区域是肝脏？", "肝脏"),
    ("包含实例1的器官", "器官"),
    ("分割［１］中的病灶", "病灶"),
    ("请分割其肿瘤", "肿瘤"),
    ("分割心脏及其腔室", "心脏及其腔室"),
    ("接收实例1血液的心腔", "心腔"),
    ("请找到肝脏并进行分割。", "肝脏"),
    ("请给出肝脏的分割掩码。", "肝脏"),
    ("标出肝脏的区域。", "肝脏"),
    ("能分割出肝脏吗？", "肝脏"),
    ("在这张CT图像中，请分割它的肿瘤", "肿瘤"),
    ("分割L4椎体", "L4椎体"),
    ("找到肝脏并分割它", "肝脏"),
    ("请分割该器官的病变", "病变"),
    ("分割第二腰椎", "第二腰椎"),
    ("我想看包含实例1的结构。", "结构"),
    ("请给出上一个的分割掩码。", "上一个"),
    ("请在第一轮的基础上分割肿瘤", "肿瘤"),
    ("那另一侧的肾呢？", "另一侧的肾"),
    ("其次分割肝脏", "肝脏"),
    ("把它再分割一次", ""),
]


@pytest.mark.parametrize(("query", "name"), ENGLISH + CHINESE)
def test_a_name_is_what_is_asked_for(query: str, name: str) -> None:
    assert structure_name(query) == name


@pytest.mark.parametrize("name", ["left kidney", "vertebra L4", "L4-L5 intervertebral disc", "4 chambers", "左侧腮腺"])
def test_a_name_alone_stays_as_it_is(name: str) -> None:
    assert structure_name(name) == name


def test_a_long_query_gives_a_name_of_bounded_length() -> None:
    assert len(structure_name("Segment the " + "very " * 100 + "large tumor.")) <= 60


@pytest.mark.parametrize(
    ("query", "reference", "name"),
    [
        ("Segment the other kidney.", "left kidney", "right kidney"),
        ("Segment the contralateral lung.", "Right lung", "left lung"),
        ("Segment its counterpart.", "kidney left", "kidney right"),
        ("Segment the other kidney.", "kidney", "other kidney"),
        ("Segment its tumor.", "left kidney", "tumor"),
        ("请分割另一侧的肾。", "左肾", "右肾"),
        ("分割对侧的肾", "右侧肾脏", "左侧肾脏"),
    ],
)
def test_the_other_side_is_named_after_the_reference(query: str, reference: str, name: str) -> None:
    assert name_beside(query, reference) == name


@pytest.mark.parametrize(
    ("query", "reference", "name"),
    [
        ("Segment the other kidney.", "left kidney", "right kidney"),
        ("Now the other one.", "left kidney", "right kidney"),
        ("Segment the other lung with reference to instance 1.", "left kidney", "other lung"),
        ("Segment the contralateral adrenal gland based on instance 1.", "right kidney", "contralateral adrenal gland"),
        ("分割对侧肾脏。", "左侧肾脏", "右侧肾脏"),
    ],
)
def test_only_the_same_kind_changes_sides(query: str, reference: str, name: str) -> None:
    assert name_beside(query, reference) == name
