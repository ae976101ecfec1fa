"""What ``mmcv.utils.collect_env`` reports about the compiled operators."""


def get_compiler_version():
    """``'n/a'``, as ``collect_env`` says of an mmcv without operators."""
    return 'n/a'


def get_compiling_cuda_version():
    """``'n/a'``, as ``collect_env`` says of an mmcv without operators."""
    return 'n/a'
