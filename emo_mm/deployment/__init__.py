"""Export of whole models: pixels in; boxes, a mask or classes out.

* :mod:`.whole_model` what is exported;
* :mod:`.build` a config and a checkpoint made into it;
* :mod:`.formats` how each format is written;
* :mod:`.verify` the comparison with the libraries' own predictions;
* :mod:`.export` all of it in order;
* :mod:`.evaluate` metrics of an exported model.

``tools/deployment/infer.py`` runs the files without this package.
"""
