"""Train a config with the library that its ``default_scope`` names.

Example:
    mim train emo_mm ssdlite_emo_1m.py --work-dir work_dirs/demo
"""
from emo_mm.engine.launch import run_library_tool

if __name__ == '__main__':
    run_library_tool('train', __doc__)
