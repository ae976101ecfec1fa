"""The steps of the build that pyproject.toml cannot name.

* A wheel carries ``configs/``, ``tools/`` and ``model-index.yml`` in
  ``emo_mm/.mim``, where MIM and mmengine look for those of a plugin. An
  editable install has none: both would look in site-packages, where a folder
  ``emo_mm`` hides the package in the checkout.
* ``emo_mm/compat/mmcv_hook.py``, which says why, also lies in site-packages
  itself, beside a ``.pth`` file that imports it.
"""
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_ITEMS = ('configs', 'tools', 'model-index.yml')
HOOK = ROOT / 'emo_mm' / 'compat' / 'mmcv_hook.py'
HOOK_MODULE = '_emo_mm_mmcv_hook'


class BuildWithMimAndHook(build_py):
    """Build the package, ``emo_mm/.mim`` and the hook."""

    def run(self):
        super().run()
        if self.editable_mode:
            # The folder that becomes the content of the editable wheel.
            site = Path(self.get_finalized_command('install').install_lib)
        else:
            site = Path(self.build_lib)
            for item in MIM_ITEMS:
                self._place_mim(ROOT / item, site / 'emo_mm' / '.mim')
        self._place(HOOK, site / f'{HOOK_MODULE}.py')
        pth = site / f'{HOOK_MODULE}.pth'
        pth.write_text(f'import {HOOK_MODULE}\n', encoding='utf-8')

    def _place_mim(self, item, mim):
        for source in [item, *item.rglob('*')]:
            if source.is_file() and '__pycache__' not in source.parts:
                self._place(source, mim / source.relative_to(ROOT))

    def _place(self, source, target):
        self.mkpath(str(target.parent))
        self.copy_file(str(source), str(target))


setup(cmdclass={'build_py': BuildWithMimAndHook})
