"""What ``mmcv.utils.collect_env`` reports about the compiled operators."""


def get_compiler_version() -> str:
    """Return what ``collect_env`` says of an mmcv without operators."""
    return 'n/a'


def get_compiling_cuda_version() -> str:
    """Return what ``collect_env`` says of an mmcv without operators."""
    return 'n/a'
