"""Forms of a trained network for inference, made by rules.

Each form replaces modules by their exact type (:mod:`.rewrite`), so that the
trained network knows nothing of its deployment:

* :mod:`.fast` and :mod:`.compile` for PyTorch;
* :mod:`.export` for other runtimes;
* :mod:`.reference` the published order of operations, to compare with;
* :mod:`.fold` what the first three share, :mod:`.fused_conv` a convolution
  with its activation.
"""
from .compile import compile_deployed
from .export import make_exportable
from .fast import switch_to_deploy
from .reference import make_reference

__all__ = [
    'compile_deployed', 'make_exportable', 'make_reference', 'switch_to_deploy'
]
