"""Export of end-to-end models: pixels in; boxes, a mask or classes out.

* :mod:`.end_to_end` what is exported;
* :mod:`.build` a library's model made into it, and what describes it;
* :mod:`.formats` how each format is written;
* :mod:`.verify` the comparison with the libraries' own predictions;
* :mod:`.export` all of it in order;
* :mod:`.infer` the exported files, run; it works without this package;
* :mod:`.evaluate` metrics of an exported model.
"""
