"""`SampleData`: keeps the sources that modules register where Slicer's keeps them, and loads files of this machine."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import slicer


@dataclass
class SampleDataSource:
    """One sample of the Sample Data module, with the names of Slicer's; what may be several is a list."""

    sampleName: Any = None
    uris: Any = None
    fileNames: Any = None
    nodeNames: Any = None
    customDownloader: Any = None
    thumbnailFileName: Any = None
    loadFileTypes: Any = None
    loadFiles: Any = None
    loadFileProperties: Any = None
    checksums: Any = None

    def __post_init__(self) -> None:
        for name in ("uris", "fileNames", "nodeNames", "checksums"):
            if not isinstance(getattr(self, name), list):
                setattr(self, name, [getattr(self, name)])


class SampleDataLogic:
    """As much of it as registering and loading a study needs."""

    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", **names: Any) -> None:
        sources = getattr(slicer.modules, "sampleDataSources", {})
        made = SampleDataSource(**names)
        if made not in sources.setdefault(category, []):
            sources[category].append(made)
        slicer.modules.sampleDataSources = sources

    def sourceForSampleName(self, sampleName: str) -> SampleDataSource | None:
        sources = [one for group in slicer.modules.sampleDataSources.values() for one in group]
        return next((one for one in sources if one.sampleName == sampleName), None)

    def downloadSamples(self, sampleName: str) -> list[Any]:
        source = self.sourceForSampleName(sampleName)
        return [] if source is None else self.downloadFromSource(source)

    def downloadFromSource(self, source: SampleDataSource) -> list[Any]:
        """The loaded nodes; files with another checksum are left out, as in Slicer."""
        loaded = []
        for uri, name, checksum in zip(source.uris, source.nodeNames, source.checksums, strict=True):
            path = Path(url2pathname(urlsplit(uri).path))
            if checksum is not None and _checksum(path) != checksum:
                continue
            loaded.append(slicer.util.loadVolume(str(path), {"name": name}))
        return loaded


def downloadSample(sampleName: str) -> Any:
    """Loads a registered study by its name, as scripts do."""
    return SampleDataLogic().downloadSamples(sampleName)[0]


def _checksum(path: Path) -> str:
    return f"SHA256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
