import sys

import slicer


def test_module(host):
    w=host.openModule("Sample", "/tmp/work/mod/Sample/Sample.py")
    assert sys.modules["Sample"].starts==[1]
    assert w.parent.isEntered is True and w.log==["enter"]
    p=w.p; ui=w.ui
    assert (ui.edit.text, ui.check.checked, ui.spin.value, ui.combo.currentText)==("first",False,0.6,"b")
    host.typeText(ui.edit, " x"); assert p.text=="first x"
    host.select(ui.combo,"c"); assert p.mode=="c"
    p.flag=True; assert ui.check.checked
    host.click(ui.check)
    assert p.flag is False
    v=slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode","CT") 
    assert p.volume is None
    host.select(ui.node,"CT"); assert p.volume is v and p.parameterNode.GetNodeReference("volume") is v
    host.choose(ui.tool,"One"); host.choose(ui.tool,"Sub","Two"); assert w.log[1:]==["one","two"]
    host.shotPanel("/tmp/work/y1.png")
    assert not ui.inner.visible
    ui.more.collapsed=False; host.turn(); assert ui.inner.visible
    host.answers += ["Yes","/x.html"]
    host.click(ui.inner); assert w.log[-1]=="/x.html"; assert host.messages==[("Question","Sure?"),("Information","Done")], host.messages
    host.setStyle("dark"); host.shotPanel("/tmp/work/y2.png")
    host.leaveModule(); assert w.log[-1]=="exit"; host.enterModule()
    w2=host.reload(); assert w.log[-1]=="cleanup" and w2 is not w and slicer.modules.SampleWidget is w2
    host.closeScene(); assert "close" in w2.log and "close" not in w.log
    slicer.selfTests["Sample"](); assert sys.modules["Sample"].starts[-1]=="t"
    host.closeModule(); assert w2.log[-1]=="cleanup"
