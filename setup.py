"""The steps of the build that pyproject.toml cannot name.

* A wheel carries ``configs/``, ``tools/`` and ``model-index.yml`` in
  ``emo_mm/.mim``, where MIM and mmengine look for those of a plugin. An
  editable install has none: both would look in site-packages, where a folder
  ``emo_mm`` hides the package in the checkout.
* The hooks of ``emo_mm/compat``, which say why, also lie in site-packages
  itself, each beside a ``.pth`` file that imports it.
"""
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_ITEMS = ('configs', 'tools', 'model-index.yml')
HOOKS = ('mmcv_hook', 'publish_hook')


class BuildWithMimAndHooks(build_py):
    """Build the package, ``emo_mm/.mim`` and the hooks."""

    def run(self):
        super().run()
        if self.editable_mode:
            # The folder that becomes the content of the editable wheel.
            site = Path(self.get_finalized_command('install').install_lib)
        else:
            site = Path(self.build_lib)
            for item in MIM_ITEMS:
                self._place_mim(ROOT / item, site / 'emo_mm' / '.mim')
        for hook in HOOKS:
            module = f'_emo_mm_{hook}'
            self._place(ROOT / 'emo_mm' / 'compat' / f'{hook}.py',
                        site / f'{module}.py')
            (site / f'{module}.pth').write_text(
                f'import {module}\n', encoding='utf-8')

    def _place_mim(self, item, mim):
        for source in [item, *item.rglob('*')]:
            if source.is_file() and '__pycache__' not in source.parts:
                self._place(source, mim / source.relative_to(ROOT))

    def _place(self, source, target):
        self.mkpath(str(target.parent))
        self.copy_file(str(source), str(target))


setup(cmdclass={'build_py': BuildWithMimAndHooks})
