"""Run ``benchmark.py --costs``, of which this is an earlier name."""
import sys

from benchmark import main

from emo_mm.cli import run

if __name__ == '__main__':
    run(lambda: main(['--costs', *sys.argv[1:]]))
