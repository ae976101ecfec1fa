"""Run an exported model: see emo_mm/deployment/infer.py, which works alone."""
from emo_mm.deployment.infer import main

if __name__ == '__main__':
    main()
