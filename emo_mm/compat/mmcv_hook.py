"""Let Python find ``mmcv._ext`` where mmcv itself has none.

mmcv-lite lacks the compiled module ``mmcv._ext``, and libraries import it
before they read a config, so nothing that a config names could supply it. This
file is therefore installed twice: here, and as ``_emo_mm_mmcv_hook`` in
site-packages beside a ``.pth`` file that imports it whenever Python starts.
It imports nothing until ``mmcv._ext`` is asked for, so it costs next to
nothing.

(A file ``mmcv/_ext.py`` would not need the hook. But it is not found where
mmcv is in another site folder, and where there is no mmcv it makes an empty
package of that name, which mmengine takes for the full mmcv.)
"""
import sys


class MMCVExtFinder:
    """Find ``mmcv._ext`` in ``emo_mm/compat/mmcv_ext/_ext.py``.

    It stands last in ``sys.meta_path``: a compiled module is found first.
    """

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        """Return where ``mmcv._ext`` is, and nothing of other modules."""
        if fullname != 'mmcv._ext':
            return None
        import importlib.util
        import os
        package = importlib.util.find_spec('emo_mm')
        if package is None:  # emo_mm was removed while Python ran
            return None
        folder = package.submodule_search_locations[0]
        return importlib.util.spec_from_file_location(
            fullname, os.path.join(folder, 'compat', 'mmcv_ext', '_ext.py'))


def install() -> None:
    """Have Python ask the finder, once however often this is called."""
    names = [getattr(finder, '__name__', None) for finder in sys.meta_path]
    if MMCVExtFinder.__name__ not in names:
        sys.meta_path.append(MMCVExtFinder)


install()
