"""Serve a page on this machine that runs exported ONNX models in a browser.

The page takes an image or the camera; nothing leaves the browser. The
runtime, onnxruntime-web, is fetched once with npm. Needs npm, numpy, Pillow
and onnxruntime, which reads the models' metadata.

Example:
    python tools/deployment/web/serve.py detector.onnx segmenter.onnx
"""
import contextlib
import errno
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from emo_mm.cli import make_parser, run
from emo_mm.deployment.infer import ExportedModel, class_colors

HERE = Path(__file__).resolve().parent
RUNTIME = 'onnxruntime-web@1.30.0'
RUNTIME_FILES = ('ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs',
                 'ort-wasm-simd-threaded.wasm')


def fetch_runtime(cache):
    """Return the folder of the runtime's files, fetched if need be.

    Args:
        cache (Path): Where to keep them.

    Raises:
        OSError: If npm is missing or fails.
    """
    folder = cache / RUNTIME
    if all((folder / name).is_file() for name in RUNTIME_FILES):
        return folder
    if shutil.which('npm') is None:
        raise OSError(f'npm is not installed; it fetches {RUNTIME}. Or put '
                      f'{", ".join(RUNTIME_FILES)} of it into {folder}.')
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        done = subprocess.run(['npm', 'pack', '--silent', RUNTIME],
                              cwd=work,
                              capture_output=True,
                              text=True)
        if done.returncode:
            raise OSError(f'npm pack {RUNTIME} failed: {done.stderr[-500:]}')
        archive, = Path(work).glob('*.tgz')
        with tarfile.open(archive) as tar:
            for name in RUNTIME_FILES:
                member = tar.extractfile(f'package/dist/{name}')
                (folder / name).write_bytes(member.read())
    return folder


class Handler(SimpleHTTPRequestHandler):
    """Serve the page, the runtime, the models and their metadata."""
    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        '.mjs': 'text/javascript',
        '.wasm': 'application/wasm',
    }

    def __init__(self, *args, models, runtime, **kwargs):
        self.models, self.runtime = models, runtime
        super().__init__(*args, directory=str(HERE), **kwargs)

    def end_headers(self):
        # Threads of WebAssembly share memory, which browsers allow only to
        # pages that are isolated from others.
        self.send_header('Cross-Origin-Opener-Policy', 'same-origin')
        self.send_header('Cross-Origin-Embedder-Policy', 'require-corp')
        self.send_header('Cache-Control', 'no-cache')
        super().end_headers()

    def do_GET(self):
        if self.path != '/models.json':
            super().do_GET()
            return
        body = json.dumps({
            name: metadata
            for name, (_, metadata) in self.models.items()
        }).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def translate_path(self, path):
        folder, _, name = path.split('?')[0].lstrip('/').rpartition('/')
        if folder == 'models' and name in self.models:
            return str(self.models[name][0])
        if folder == 'runtime' and name in RUNTIME_FILES:
            return str(self.runtime / name)
        if not folder and name in ('', 'index.html', 'app.mjs'):
            return str(HERE / (name or 'index.html'))
        return str(HERE / 'none')

    def log_message(self, *args):
        pass


def make_server(paths, port, cache):
    """Return a server of the page for some models.

    Args:
        paths (list[Path]): ``.onnx`` files of tools/deployment/export.py.
        port (int): 0 for any free one.
        cache (Path): See :func:`fetch_runtime`.
    """
    models = {}
    for path in paths:
        if path.suffix != '.onnx':
            raise ValueError(f'{path}: the browser runs .onnx files.')
        if path.name in models:
            raise ValueError(f'{path}: two models are named {path.name}.')
        metadata = ExportedModel(path).metadata
        metadata['colors'] = class_colors(metadata)
        models[path.name] = path.resolve(), metadata
    runtime = fetch_runtime(cache)
    handler = partial(Handler, models=models, runtime=runtime)
    return ThreadingHTTPServer(('127.0.0.1', port), handler)


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('models', nargs='+', type=Path, help='.onnx files')
    parser.add_argument(
        '--port', type=int, default=8000, help='defaults to %(default)s')
    parser.add_argument(
        '--cache',
        type=Path,
        default=Path(os.environ.get('XDG_CACHE_HOME', '~/.cache'),
                     'emo_mm').expanduser(),
        help='where the runtime is kept; defaults to %(default)s')
    args = parser.parse_args(argv)
    try:
        server = make_server(args.models, args.port, args.cache)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(f'--port {args.port} is in use. Choose another, or 0 '
                      'for a free one.') from error
    print(f'http://localhost:{server.server_port} (Ctrl-C ends)')
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == '__main__':
    run(main)
