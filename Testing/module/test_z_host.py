import time

import numpy as np
import slicer
from PIL import Image


def test_pic(host):
    v=slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode","CT chest")
    a=np.zeros((5,60,80),np.int16); a[:, 10:50, 20:60]=500; a[2,20:30,30:50]=1000
    slicer.util.updateVolumeFromArray(v,a); v.SetSpacing(1,1,3); v.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=v, fit=True)
    for l in host.sliceLogics.values(): l.SnapSliceOffsetToIJK()
    p=host.sliceImage("Red"); assert p.max()>200
    Image.fromarray(p).save("/tmp/work/z.png")
    host.saveScene("/tmp/work/z.mrb"); host.closeScene(); q=host.sliceImage("Red"); assert q.max()==0
    host.loadScene("/tmp/work/z.mrb"); r=host.sliceImage("Red"); print(np.abs(r.astype(int)-p).max())
    host.saveScene("/tmp/work/zz/z.mrml"); host.loadScene("/tmp/work/zz/z.mrml"); r=host.sliceImage("Red"); print(np.abs(r.astype(int)-p).max())
def test_panel(host):
    t=time.time(); w=host.openModule(); print(time.time()-t)
    host.shotPanel("/tmp/work/panel.png")
    host.setStyle("dark"); host.shotPanel("/tmp/work/paneld.png")
    w=host.reload(); host.leaveModule(); host.enterModule(); host.closeScene()
    slicer.selfTests["MediRoundSlicer"]()
def test_pic2(host): test_pic(host)
