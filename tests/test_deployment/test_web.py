"""The page in a headless browser, with results compared with PyTorch's."""
import shutil
import threading
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('onnxruntime')
pytest.importorskip('onnx')
playwright = pytest.importorskip('playwright.sync_api')
from emo_mm.deployment import export, verify
from tests.test_deployment import conftest

ROOT, SIZES = conftest.ROOT, conftest.SIZES
read_config = conftest.read_config

BROWSER = shutil.which('chromium') or shutil.which('google-chrome')
# Sizes of images; of them, the segmenter takes any.
IMAGE_SIZES = dict(
    detector=SIZES['detector'],
    deeplab=(97, 143),
    classifier=SIZES['classifier'])
KINDS = tuple(IMAGE_SIZES)
TAKE = """() => Object.fromEntries(Object.entries(emo.results()).filter(
  ([, value]) => value.dims).map(([name, {data, dims}]) =>
  [name, {data: Array.from(data), dims}]))"""


@pytest.fixture(scope='module')
def page(checkpoints, tmp_path_factory):
    if BROWSER is None or shutil.which('npm') is None:
        pytest.skip('needs Chromium and npm')
    folder = tmp_path_factory.mktemp('web')
    for kind in KINDS:
        cfg = read_config(kind)
        # Images of the model's own size are shown, so that nothing is
        # resized: a classifier's pipeline would enlarge and crop.
        cfg.test_dataloader.dataset.pipeline = []
        export.export(
            cfg,
            checkpoints(kind),
            'onnx',
            folder / f'{kind}.onnx',
            SIZES[kind],
            dynamic=IMAGE_SIZES[kind] != SIZES[kind],
            verified=False,
            log=lambda line: None)
    path = ROOT / 'tools/deployment/web/serve.py'
    spec = spec_from_file_location('serve', path)
    serve = module_from_spec(spec)
    spec.loader.exec_module(serve)
    try:
        server = serve.make_server(
            sorted(folder.iterdir()), 0,
            Path(folder.parent, 'runtime').resolve())
    except OSError as error:
        pytest.skip(f'the runtime cannot be fetched: {error}')
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=BROWSER,
            args=[
                '--no-sandbox', '--use-fake-device-for-media-stream',
                '--use-fake-ui-for-media-stream'
            ])
        page = browser.new_page()
        page.goto(f'http://localhost:{server.server_port}/')
        page.wait_for_selector('body[data-ready]', timeout=120000)
        yield page
        browser.close()
    server.shutdown()


@pytest.mark.parametrize('kind', KINDS)
def test_results_are_pytorchs(page, models, images, tmp_path, kind):
    """An image of a size that the model takes."""
    height, width = IMAGE_SIZES[kind]
    image = Image.open(images[0]).convert('RGB').resize((width, height))
    image.save(tmp_path / 'image.png')
    page.select_option('#model', f'{kind}.onnx')
    page.set_input_files('#image', tmp_path / 'image.png')
    page.evaluate('emo.idle()')
    assert page.evaluate('crossOriginIsolated')
    taken = page.evaluate(TAKE)
    results = {
        name: np.array(part['data'], np.float32).reshape(part['dims'])
        for name, part in taken.items()
    }
    expected = verify.predict(models(kind), np.array(image))
    comparison = verify.compare_results(expected, results,
                                        verify.TOLERANCES['float32'])
    assert comparison.passed, comparison.text


def test_what_is_no_image_is_named(page, tmp_path):
    (tmp_path / 'notes.png').write_text('no image')
    page.set_input_files('#image', tmp_path / 'notes.png')
    page.evaluate('emo.idle()')
    assert page.text_content('#status').startswith(
        'error: notes.png is not an image')


def test_the_camera_is_shown_until_stopped(page):
    """Chromium's camera of tests, whose frames are 640 x 480."""
    page.click('#camera')
    page.wait_for_function('emo.results()?.width === 640')
    page.click('#camera')
    page.evaluate('emo.idle()')
    assert page.text_content('#camera') == 'Start the camera'
    time = page.evaluate('emo.results().time')
    page.wait_for_timeout(500)
    assert page.evaluate('emo.results().time') == time
