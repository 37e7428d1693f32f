"""The host opens a scripted module as Slicer does, and stands for the application around it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from slicer_host import dialogs, installing, translation

SAMPLE = Path(__file__).with_name("host_sample") / "HostSample.py"


@pytest.fixture
def widget(host: Any) -> Any:
    return host.openModule("HostSample", SAMPLE)


def volume(name: str = "CT chest", depth: int = 5) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    voxels = np.zeros((depth, 60, 80), np.int16)
    voxels[:, 10:50, 20:60] = 500
    slicer.util.updateVolumeFromArray(node, voxels)
    node.SetSpacing(1, 1, 3)
    node.CreateDefaultDisplayNodes()
    return node


def test_a_module_is_opened_as_slicer_does_it(widget: Any) -> None:
    assert sys.modules["HostSample"].started == ["startup"]
    assert slicer.modules.HostSampleWidget is widget
    assert slicer.modules.hostsample.path == str(SAMPLE)
    assert slicer.modules.hostsample.categories == ("Examples",)
    assert slicer.util.modulePath("HostSample") == str(SAMPLE)
    assert slicer.util.getModule("HostSample").title == "Host sample"
    assert widget.parent.isEntered is True
    assert widget.log == ["enter"]
    assert widget.ui.selector.mrmlScene() is slicer.mrmlScene


def test_leaving_and_entering(host: Any, widget: Any) -> None:
    host.leaveModule()
    assert widget.parent.isEntered is False
    host.enterModule()
    assert widget.log == ["enter", "exit", "enter"]


def test_reload(host: Any, widget: Any) -> None:
    again = host.reload()
    assert again is not widget
    assert widget.log[-1] == "cleanup"
    host.closeScene()
    assert "close" in again.log
    assert "close" not in widget.log


def test_close(host: Any, widget: Any) -> None:
    host.closeModule()
    assert widget.log == ["enter", "exit", "cleanup"]
    assert not hasattr(slicer.modules, "hostsample")


def test_self_tests_run(widget: Any) -> None:
    slicer.selfTests["HostSample"]()
    assert sys.modules["HostSample"].started[-1] == "test_one"


def test_parameters_have_their_defaults(widget: Any) -> None:
    ui = widget.ui
    assert (ui.edit.text, ui.check.checked, ui.spin.value, ui.combo.currentText) == ("first", False, 0.6, "b")
    assert (widget.node.text, widget.node.flag, widget.node.volume) == ("first", False, None)


def test_what_the_user_does_goes_into_parameters(host: Any, widget: Any) -> None:
    ui, node = widget.ui, widget.node
    host.typeText(ui.edit, " 第2轮")
    host.click(ui.check)
    host.select(ui.combo, "c")
    shown = volume()
    host.select(ui.selector, "CT chest")
    assert (node.text, node.flag, node.mode, node.volume) == ("first 第2轮", True, "c", shown)
    stored = node.parameterNode
    assert (stored.GetParameter("flag"), stored.GetNodeReference("volume")) == ("True", shown)


def test_parameters_go_into_widgets(widget: Any) -> None:
    widget.node.text = "second"
    widget.node.share = 0.25
    widget.node.volume = volume()
    ui = widget.ui
    assert (ui.edit.text, ui.spin.value, ui.selector.currentNode()) == ("second", 0.25, widget.node.volume)
    slicer.mrmlScene.RemoveNode(widget.node.volume)
    assert ui.selector.currentNode() is None


def test_parameters_are_checked(widget: Any) -> None:
    with pytest.raises(ValueError, match="within"):
        widget.node.share = 1.5
    with pytest.raises(ValueError, match="one of"):
        widget.node.mode = "d"
    with pytest.raises(ValueError, match="None"):
        widget.node.text = None
    with pytest.raises(TypeError):
        widget.node.flag = 1


def test_disconnected_widgets_are_left_alone(widget: Any) -> None:
    widget.node.disconnectGui(widget.tag)
    widget.node.text = "second"
    widget.ui.edit.setText("third")
    assert (widget.node.text, widget.ui.edit.text) == ("second", "third")


def test_menus(host: Any, widget: Any) -> None:
    host.choose(widget.ui.menuButton, "One")
    host.choose(widget.ui.menuButton, "More", "Two")
    assert widget.log == ["enter", "one", "two"]
    with pytest.raises(AssertionError, match="no 'Three'"):
        host.choose(widget.ui.menuButton, "Three")


def test_a_user_does_not_click_what_is_hidden(host: Any, widget: Any) -> None:
    with pytest.raises(AssertionError, match="hidden"):
        host.click(widget.ui.save)
    host.click(widget.ui.more)  # in its middle, which is its header while it is collapsed
    assert widget.ui.more.collapsed is False
    widget.ui.save.enabled = False
    with pytest.raises(AssertionError, match="not enabled"):
        host.click(widget.ui.save)


def test_questions_are_answered(host: Any, widget: Any) -> None:
    widget.ui.more.collapsed = False
    host.answers += ["Yes", "/tmp/report.html"]
    host.click(widget.ui.save)
    assert widget.log[-1] == "/tmp/report.html"
    assert host.messages == [("Question", "Overwrite?")]


def test_errors_are_shown(host: Any, widget: Any) -> None:
    widget.ui.more.collapsed = False
    host.answers += ["No"]
    host.click(widget.ui.save)
    assert host.messages[-1] == ("Critical", "Failed.\n\nrefused")
    assert [str(error) for error in host.swallowed] == ["refused"]
    host.swallowed.clear()


def test_a_question_without_an_answer_fails(host: Any, widget: Any) -> None:
    widget.ui.more.collapsed = False
    host.click(widget.ui.save)
    assert "nobody answers: Overwrite?" in str(host.swallowed[0])
    host.swallowed.clear()


def test_swallowed_errors_fail(host: Any) -> None:
    qt.QTimer.singleShot(0, lambda: [][0])
    host.wait(lambda: host.swallowed, 2)
    with pytest.raises(AssertionError, match="list index out of range"):
        host.checkNoneSwallowed()


def test_processes_that_outlive_the_module_fail(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slicer_host.host.PATIENCE", 0.1)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    if sys.platform == "linux":
        with pytest.raises(AssertionError, match="still run"):
            host.checkNoChildren()
    child.communicate(b"\n")


def test_wait_says_what_did_not_come(host: Any) -> None:
    with pytest.raises(AssertionError, match="in vain for the answer"):
        host.wait(lambda: False, 0.05, "the answer")
    with pytest.raises(ZeroDivisionError):
        host.wait(lambda: 1 / 0, 0.05)


def test_stalls_are_measured(host: Any) -> None:
    host.startStallWatch()
    qt.QTimer.singleShot(0, lambda: host.application.thread().msleep(80))
    until = qt.QTimer.singleShot
    done: list[int] = []
    until(150, lambda: done.append(1))
    host.wait(lambda: done, 2)
    assert 0.08 <= host.longestStall() < 1


def test_settings_are_the_hosts_own(host: Any) -> None:
    for settings in (slicer.app.userSettings(), slicer.app.settings(), qt.QSettings()):
        assert settings.fileName().startswith(slicer.app.temporaryPath)
        assert settings.allKeys() == ()


def test_what_slicer_util_asks_the_application(host: Any) -> None:
    assert slicer.util.mainWindow() is slicer.app.mainWindow()
    assert (slicer.app.majorVersion, slicer.app.testingEnabled()) == (5, False)
    assert slicer.app.layoutManager().sliceViewNames() == ("Red", "Green", "Yellow")
    assert slicer.app.layoutManager().sliceWidget("Red").sliceLogic() is host.sliceLogics["Red"]
    assert slicer.app.applicationLogic() is host.logic
    slicer.util.infoDisplay("done")
    assert host.messages == [("Information", "done")]


def test_styles(host: Any) -> None:
    host.setStyle("dark")
    assert host.window.palette().window().color().lightness() < 100
    host.setStyle("light")
    assert host.window.palette().window().color().lightness() > 200


def test_packages_are_noted_and_not_installed(host: Any) -> None:
    installing.present["torch"] = False
    assert not slicer.packaging.pip_check(["numpy", "torch>=2"])
    slicer.packaging.pip_ensure(["numpy", "torch>=2"], requester="Test")
    assert installing.installed == [(["torch>=2"], {"requester": "Test"})]
    assert slicer.packaging.pip_check("torch>=2")


def test_texts_go_through_the_translation(host: Any) -> None:
    from slicer.i18n import tr

    translation.translator.append(str.upper)
    try:
        assert tr("liver") == "LIVER"
        assert tr("{count} rounds") == "{count} rounds"  # its field would be lost
    finally:
        translation.translator.clear()


@pytest.mark.parametrize("name", ["scene.mrb", "folder/scene.mrml"])
def test_scenes_are_saved_and_loaded(host: Any, tmp_path: Path, name: str) -> None:
    host.show(volume(depth=4))
    picture = host.sliceImage("Red")
    events: list[str] = []
    for event in ("StartClose", "EndClose", "StartImport", "EndImport"):
        number = getattr(slicer.mrmlScene, f"{event}Event")
        slicer.mrmlScene.AddObserver(number, lambda *_event, event=event: events.append(event))
    host.saveScene(tmp_path / name)
    host.closeScene()
    assert host.sliceImage("Red").max() == 0
    host.loadScene(tmp_path / name)
    assert events == ["StartClose", "EndClose"] * 2 + ["StartImport", "EndImport"]
    assert slicer.util.arrayFromVolume(slicer.util.getNode("CT chest")).shape == (4, 60, 80)
    assert np.array_equal(host.sliceImage("Red"), picture)


def test_a_slice_view_is_drawn_with_its_segments(host: Any) -> None:
    shown = volume()
    host.show(shown)
    plain = host.sliceImage("Red")
    assert plain.shape == (300, 400, 3)
    assert plain.max() > 200
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(shown)
    segmentation.GetSegmentation().AddEmptySegment("liver", "Liver", (1.0, 0.0, 0.0))
    mask = np.zeros((5, 60, 80), np.uint8)
    mask[2, 20:40, 30:50] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "liver", shown)
    red = host.sliceImage("Red").astype(int)
    changed = np.abs(red - plain).max(axis=2) > 0
    # Half transparent upon the image: fill is no more than half red, on whatever grey is under it.
    fill = changed & (plain[..., 0] > 100)
    assert (red[fill][:, 1] > 0.4 * plain[fill][:, 1]).mean() > 0.8
    # Of 80 x 60 pixels on 400 x 300: one is five. The view is seen from the feet: left is right.
    assert changed.sum() == pytest.approx(20 * 20 * 25, rel=0.1)
    assert (red[changed][:, 0] > red[changed][:, 1]).all()


def test_files_go_through_slicer_util(host: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "study.nrrd")
    slicer.util.saveNode(volume(), path)
    loaded = slicer.util.loadVolume(path)
    assert loaded.GetName() == "study"
    assert host.sliceLogics["Red"].GetSliceCompositeNode().GetBackgroundVolumeID() == loaded.GetID()


def test_dialogs_are_real_where_a_user_is(host: Any) -> None:
    dialogs.install(waits=True)
    try:
        box = dialogs.ctkMessageBox()
        qt.QTimer.singleShot(50, lambda: box.done(7))
        assert box.exec() == 7
    finally:
        dialogs.install(waits=False)


def test_the_window_opens(tmp_path: Path) -> None:
    """`make panel` paints the panel, and the sample study in three slice views."""
    picture = tmp_path / "window.png"
    folder = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-m", "slicer_host", "--shot", str(picture)], cwd=folder, check=True, timeout=120)
    image = qt.QImage(str(picture))
    assert (image.width(), image.height()) == (1360, 860)
    colours = {image.pixelColor(x, 11).name() for x in range(450, 1350, 100)}
    assert "#f24a33" in colours  # the bar of the red view
