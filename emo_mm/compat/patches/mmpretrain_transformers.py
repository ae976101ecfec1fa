"""mmpretrain can be imported beside transformers 5.

Library: mmpretrain, up to and including 1.2.0, with transformers >= 5.
Symptom: importing ``mmpretrain.models`` ends in ``TypeError: NoneType takes
no arguments``, as its multimodal models derive from names that transformers
no longer has. LiteRT's converter installs transformers.
Upstream: no report known.
Ended by: a release of mmpretrain whose multimodal models work with it.
"""
from importlib.metadata import PackageNotFoundError, version

import wrapt


@wrapt.when_imported('mmpretrain.utils.dependency')
def _mend(dependency):
    """Let it leave those models out, as where transformers is missing."""
    try:
        major = int(version('transformers').split('.')[0])
    except PackageNotFoundError:
        return
    if major >= 5:
        dependency.WITH_MULTIMODAL = False
