import pytest

pytest.importorskip('mmpretrain')


@pytest.mark.parametrize('version, expected', [('5.1.0', False),
                                               ('4.40.0', True)])
def test_multimodal_models_are_left_out_beside_transformers_5(
        run_python, version, expected):
    """On a stand-in for the module that decides it."""
    run_python('import importlib.metadata, types\n'
               f'importlib.metadata.version = lambda name: {version!r}\n'
               'from emo_mm.compat import mmpretrain_transformers as mend\n'
               'module = types.SimpleNamespace(WITH_MULTIMODAL=True)\n'
               'mend._mend(module)\n'
               f'assert module.WITH_MULTIMODAL is {expected}\n')
