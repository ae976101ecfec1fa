"""mmseg's ``tools/test.py`` heeds ``runner_type``.

Library: mmsegmentation, up to and including 1.2.2.
Symptom: a config's ``runner_type`` is built for training, but not for testing:
that script calls ``Runner.from_cfg`` whatever the config says, unlike its
``tools/train.py`` and both scripts of mmdet and mmpretrain.
Upstream: no report known.
Ended by: a release whose script asks for ``runner_type``; then nobody calls
``Runner.from_cfg`` with a config that names one, and this does nothing.
"""
import wrapt


def _from_cfg(wrapped, instance, args, kwargs):
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    def call(cfg):
        # The registry comes back here with the class that it found.
        if instance is Runner and cfg.get('runner_type'):
            return RUNNERS.build(cfg)
        return wrapped(cfg)

    return call(*args, **kwargs)


@wrapt.when_imported('mmengine.runner.runner')
def _mend(runner):
    wrapt.wrap_function_wrapper(runner, 'Runner.from_cfg', _from_cfg)
