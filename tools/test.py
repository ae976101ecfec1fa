"""Test a config with the library that its ``default_scope`` names.

Example:
    mim test emo_mm ssdlite_emo_1m.py --checkpoint work_dirs/demo/last.pth
"""
from emo_mm.engine.launch import run_library_tool

if __name__ == '__main__':
    run_library_tool('test', __doc__)
