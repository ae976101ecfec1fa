"""Packaging of emo_mm.

Two things do not fit a declarative file, so they live in ``build_py`` below,
which runs for a wheel and for an editable install alike:

* ``emo_mm/.mim`` carries ``configs/`` and ``tools/``, where MIM looks for
  those of an OpenMMLab plugin.
* ``emo_mm/compat/mmcv_hook.py``, which says why, also lies in site-packages itself
  beside a ``.pth`` file that imports it.
"""
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py as _build_py

ROOT = Path(__file__).resolve().parent
MIM_ITEMS = ('configs', 'tools', 'model-index.yml')
HOOK = ROOT / 'emo_mm' / 'compat' / 'mmcv_hook.py'
HOOK_MODULE = '_emo_mm_mmcv_hook'


def files_of(path: Path) -> list:
    """The files of a folder, or the one that ``path`` is."""
    if path.is_file():
        return [path]
    return [
        file for file in sorted(path.rglob('*'))
        if file.is_file() and '__pycache__' not in file.parts
    ]


class build_py(_build_py):
    """``build_py`` that also places ``emo_mm/.mim`` and the hook."""

    def run(self):
        super().run()
        if self.editable_mode:
            self._link_mim()
            # The folder that becomes the editable wheel's content.
            site = Path(self.get_finalized_command('install').install_lib)
            self._place_hook(site)
        else:
            for source, target in self._mim_files().items():
                self._place(source, target)
            self._place_hook(Path(self.build_lib))

    def _mim_files(self):
        """Source to target of each file of ``emo_mm/.mim`` in a wheel."""
        library = Path(self.build_lib)
        return {
            source: library / 'emo_mm' / '.mim' / source.relative_to(ROOT)
            for item in MIM_ITEMS
            for source in files_of(ROOT / item)
        }

    def _place(self, source, target):
        self.mkpath(str(target.parent))
        self.copy_file(str(source), str(target))

    def _place_hook(self, site):
        self._place(HOOK, site / f'{HOOK_MODULE}.py')
        pth = site / f'{HOOK_MODULE}.pth'
        pth.write_text(f'import {HOOK_MODULE}\n', encoding='utf-8')

    def _link_mim(self):
        mim = ROOT / 'emo_mm' / '.mim'
        mim.mkdir(exist_ok=True)
        for item in MIM_ITEMS:
            link = mim / item
            if link.is_symlink():
                link.unlink()
            elif link.exists():
                shutil.rmtree(link) if link.is_dir() else link.unlink()
            try:
                link.symlink_to(Path('..', '..', item))
            except OSError:  # Windows asks for a privilege to link
                for source in files_of(ROOT / item):
                    self._place(source, mim / source.relative_to(ROOT))

    def get_outputs(self, include_bytecode=True):
        outputs = super().get_outputs(include_bytecode)
        if self.editable_mode:
            return outputs
        added = [*self._mim_files().values()]
        added += [
            Path(self.build_lib, HOOK_MODULE + suffix)
            for suffix in ('.py', '.pth')
        ]
        return outputs + [str(path) for path in added]


# What today's releases need and do not ask for themselves, see README.md:
# mmsegmentation 1.2.2 imports ftfy and regex; openmim 0.3.9 imports
# pkg_resources and breaks with click 9; opendatalab 0.0.10 pins old versions
# of half of the stack.
OPENMMLAB = [
    'mmcv-lite>=2.0.0rc4,<2.2.0',
    'mmdet>=3.3.0,<3.4',
    'mmsegmentation>=1.2.2,<1.3',
    'mmpretrain>=1.2.0,<1.3',
    'openmim>=0.3.9',
    'opendatalab==0.0.9',
    'setuptools>=65,<81',
    'click<9',
    'ftfy',
    'regex',
]
FVCORE = ['fvcore']
PEERS = ['timm']
VISUALIZATION = ['grad-cam']
# One for each format that tools/deployment writes. The converters of LiteRT
# and ExecuTorch ask for other versions of what constraints.txt pins, so that
# each belongs into an environment of its own (docs/deployment.md).
EXPORT = {
    'onnx': ['onnx', 'onnxruntime'],
    'openvino': ['onnx', 'openvino'],
    'coreml': ['coremltools>=9.0'],
    'tflite': ['litert-torch==0.10.0', 'ai-edge-litert==2.3.0'],
    # Its runtime is linked with this torch.
    'executorch': ['executorch==1.2.0', 'torch==2.11.*'],
}
# Formats that fit constraints.txt are tested; playwright drives a browser.
TEST = ['pytest', 'build', 'playwright'] + [
    package for name in ('onnx', 'openvino', 'coreml')
    for package in EXPORT[name]
]

version = re.search(r"__version__ = '(.+)'",
                    (ROOT / 'emo_mm' / '__init__.py').read_text())[1]

setup(
    name='emo_mm',
    version=version,
    description='EMO, the mobile backbone made of one block, for OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10,<3.14',
    packages=find_packages(include=['emo_mm', 'emo_mm.*']),
    install_requires=[
        'torch>=2.6', 'torchvision', 'mmengine>=0.10.7,<0.11', 'wrapt'
    ],
    extras_require={
        'openmmlab': OPENMMLAB + FVCORE,
        'peers': FVCORE + PEERS,
        'visualization': VISUALIZATION,
        'test': FVCORE + PEERS + VISUALIZATION + TEST,
        **EXPORT,
    },
    cmdclass={'build_py': build_py},
    zip_safe=False,
)
