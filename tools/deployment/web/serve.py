"""Serve a page on this machine that runs exported ONNX models in a browser.

The page takes an image or the camera; nothing leaves the browser. The
runtime, onnxruntime-web, is fetched once with npm. Needs npm, numpy, Pillow
and onnxruntime, which reads the models' metadata.

Example:
    python tools/deployment/web/serve.py detector.onnx segmenter.onnx
"""
import argparse
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

from emo_mm.deployment.infer import ExportedModel, color_of

HERE = Path(__file__).resolve().parent
RUNTIME = 'onnxruntime-web@1.30.0'
RUNTIME_FILES = ('ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs',
                 'ort-wasm-simd-threaded.wasm')


def fetch_runtime(cache):
    """Folder with the runtime's files, fetched if they are not there.

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
    """The page, the runtime, the models and what describes them."""
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
    """A server of the page for some models.

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
        metadata['colors'] = [
            color_of(i) for i in range(len(metadata['classes']))
        ]
        models[path.name] = path.resolve(), metadata
    runtime = fetch_runtime(cache)
    handler = partial(Handler, models=models, runtime=runtime)
    return ThreadingHTTPServer(('127.0.0.1', port), handler)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='+', type=Path, help='.onnx files')
    parser.add_argument('--port', type=int, default=8000)
    parser.add_argument(
        '--cache',
        type=Path,
        default=Path(os.environ.get('XDG_CACHE_HOME', '~/.cache'),
                     'emo_mm').expanduser(),
        help='where the runtime is kept; defaults to %(default)s')
    args = parser.parse_args()
    try:
        server = make_server(args.models, args.port, args.cache)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(f'--port {args.port} is in use. Choose another, or 0 '
                      'for a free one.') from error
    print(f'http://localhost:{server.server_port} (Ctrl-C ends)')
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == '__main__':
    try:
        main()
    except (ImportError, OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
