"""DICOM codes of common structures, for 3D Slicer's segment editor and for export to DICOM.

The codes are those of Slicer's own list "3D Slicer General Anatomy"; a structure that is not in it is called tissue, as
Slicer calls a new segment.
"""

_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGIONS = "Anatomic codes - DICOM master list"
_STRUCTURE = "SCT^123037004^Anatomical Structure"
_TISSUE = "SCT^85756007^Tissue"
_SIDES = {"left": "SCT^7771000^Left", "right": "SCT^24028007^Right"}

_SINGLE = {
    "aorta": "SCT^15825003^Aorta",
    "bladder": "SCT^89837001^Bladder",
    "brain": "SCT^12738006^Brain",
    "colon": "SCT^71854001^Colon",
    "duodenum": "SCT^38848004^Duodenum",
    "esophagus": "SCT^32849002^Esophagus",
    "gallbladder": "SCT^28231008^Gallbladder",
    "heart": "SCT^80891009^Heart",
    "larynx": "SCT^4596009^Larynx",
    "left ventricle": "SCT^87878005^Left Ventricle",
    "liver": "SCT^10200004^Liver",
    "mandible": "SCT^91609006^Mandible",
    "pancreas": "SCT^15776009^Pancreas",
    "prostate": "SCT^41216001^Prostate",
    "right ventricle": "SCT^53085002^Right Ventricle",
    "spinal cord": "SCT^2748008^Spinal cord",
    "spleen": "SCT^78961009^Spleen",
    "stomach": "SCT^69695003^Stomach",
}
_SIDED = {
    "adrenal gland": "SCT^23451007^Adrenal gland",
    "kidney": "SCT^64033007^Kidney",
    "lateral ventricle": "SCT^66720007^Lateral ventricle",
    "lung": "SCT^39607008^Lung",
}


def terminology_entry(name: str) -> str:
    """The value of a segment's TerminologyEntry tag: context, category, type and modifier, each part after a "~"."""
    name = name.lower()
    side, _, rest = name.partition(" ")
    category, kind, modifier = _TISSUE, _TISSUE, "^^"
    if name in _SINGLE:
        category, kind = _STRUCTURE, _SINGLE[name]
    elif side in _SIDES and rest in _SIDED:
        category, kind, modifier = _STRUCTURE, _SIDED[rest], _SIDES[side]
    return "~".join([_CONTEXT, category, kind, modifier, _REGIONS, "^^", "^^"])
