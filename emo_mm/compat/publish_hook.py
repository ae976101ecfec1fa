"""Let the libraries' ``publish_model.py`` read checkpoints, and safely.

These scripts call ``torch.load`` themselves, which refuses what mmengine's
``Runner`` writes, and import nothing that a patch could wait for. Like
:mod:`.mmcv_hook`, this file is therefore installed twice: here, and as
``_emo_mm_publish_hook`` in site-packages beside a ``.pth`` file that imports
it whenever Python starts. It acts in a process that runs such a script, and
there once torch is imported.
"""
import os
import sys

SCRIPT = 'publish_model.py'
STATE_OF_A_RUN = ('message_hub', 'param_schedulers')


class TorchFinder:
    """Have :func:`prepare` run after the first import of torch."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        """Find torch where all others do, and nothing else."""
        if fullname != 'torch':
            return None
        # Not before: all site-packages are on the path by now.
        import importlib.util
        sys.meta_path.remove(cls)
        if importlib.util.find_spec('emo_mm') is not None:
            from wrapt import register_post_import_hook
            register_post_import_hook(prepare, fullname)
        return importlib.util.find_spec(fullname)


def prepare(torch) -> None:
    """Have torch load what checkpoints may hold, and save what it loads."""
    import mmengine.runner.checkpoint  # noqa: F401, and so its patches

    from emo_mm.compat.patches.mmengine_checkpoint import explained_refusal
    load, save = torch.load, torch.save

    def load_weights_only(file, *args, **kwargs):
        with explained_refusal(file):
            return load(file, *args, **dict(kwargs, weights_only=True))

    def save_model(checkpoint, *args, **kwargs):
        # mmseg's script keeps them, and so objects that torch refuses.
        for key in STATE_OF_A_RUN:
            if checkpoint.pop(key, None):
                print(f'Key `{key}` is not published.')
        save(checkpoint, *args, **kwargs)

    torch.load, torch.save = load_weights_only, save_model


def install(command: list[str]) -> None:
    """Act in a process that was started by such a command."""
    if SCRIPT in map(os.path.basename, command):
        sys.meta_path.insert(0, TorchFinder)


install(sys.orig_argv)
