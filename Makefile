# make demo   train, test and draw a small detector
# make test   run the tests
# make test-configs  run every config through mim train and mim test, and check every peer
# make clean  remove what these made
#
# All set up .venv first where that is missing. PYTHON=python3.12 chooses the
# interpreter; PIP_ARGS is handed to pip install.

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# Written last, so that an interrupted set-up is taken up again.
READY := $(VENV)/ready-$(VERSION)
# mim and the tools find the interpreter and its scripts on PATH.
export PATH := $(BIN):$(PATH)

DEMO_CONFIG := configs/mmdet/ssdlite_emo_1m_shapes.py
DEMO_DATA := demo/shapes/annotations/instances_val2017.json
DEMO_WORK := demo/work_dir

.PHONY: demo test test-configs clean

$(READY): constraints.txt setup.py
	@echo '== Installing into $(VENV) with $(PYTHON): about 7 GB, some minutes =='
	@# Start anew where .venv is of another Python.
	[ -d $(VENV)/lib/python$(VERSION) ] || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -c constraints.txt $(PIP_ARGS) -e '.[openmmlab,test]'
	$(BIN)/python -m pip check
	@touch $@

$(DEMO_DATA): | $(READY)
	@echo '== Drawing the demo data set =='
	python tools/dataset_converters/generate_shapes.py shapes demo/shapes

demo: $(READY) $(DEMO_DATA)
	@echo '== Training SSDLite with EMO-1M from scratch: 4 to 5 minutes =='
	mim train mmdet $(DEMO_CONFIG) --work-dir $(DEMO_WORK) --resume
	@echo '== Testing the best checkpoint =='
	mim test mmdet $(DEMO_CONFIG) --work-dir $(DEMO_WORK)/test --show-dir pictures \
	    --checkpoint "$$(ls -t $(DEMO_WORK)/best_*.pth | head -n 1)"
	@python tools/misc/report_test.py $(DEMO_WORK)/test

test: $(READY)
	@echo '== Running the tests =='
	python -m pytest --ignore=tests/test_deployment
	@# Exporters and runtimes bring native libraries of their own: after all
	@# other tests in one process, they crashed it once.
	python -m pytest tests/test_deployment

test-configs: $(READY)
	@echo '== Training and testing every config for an iteration or two =='
	python -m pytest -m 'all_configs or not all_configs' tests/test_mim/test_tasks.py \
	    tests/test_configs tests/test_analysis/test_networks.py

clean:
	rm -rf $(VENV) demo build *.egg-info emo_mm/.mim
