"""`python -m slicer_host.bench` on studies of a few voxels: both ways write the same, which it checks; no times."""

from slicer_host.bench import STEPS, bench, report


def test_both_ways_write_the_same() -> None:
    found = bench((3, 6), side=32, repeats=1)
    assert set(found["studies"]) == {3, 6}
    for own in found["studies"].values():
        assert set(own) == {*STEPS, "write over", "whole volume"}
    assert "| 32 x 32 x 6 |" in report(found)
