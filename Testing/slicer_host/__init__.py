"""A small host for the Slicer module's tests: Slicer's real MRML libraries, and PySide6 with PythonQt's manners.

It imitates what 3D Slicer gives to a scripted module, as far as this module uses it, and nothing more.
"""
