"""The stand-alone runner of exported models, as a module.

What verifies an export runs the very code that its user runs.
"""
from importlib.util import module_from_spec, spec_from_file_location

from ..utils import PACKAGE

# ``.mim`` in an installation, the folder's parent in a checkout.
_PLACES = [
    root / 'tools' / 'deployment' / 'infer.py'
    for root in (PACKAGE / '.mim', PACKAGE.parent)
]
_spec = spec_from_file_location(
    'emo_mm_infer', next(path for path in _PLACES if path.is_file()))
runner = module_from_spec(_spec)
_spec.loader.exec_module(runner)

ExportedModel = runner.ExportedModel
prepare = runner.prepare
read_picture = runner.read_picture
place_back = runner.place_back
choose_boxes = runner.choose_boxes
