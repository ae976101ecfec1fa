# make demo          train, test and draw a small detector
# make test          run the tests
# make test-timing   run the tests that measure time or memory
# make test-configs  run every config through training and testing, and check
#                    every peer
# make test-inputs   give bad inputs to everything, and print what happens
# make stress-kill   kill trainings at random moments, 30 times each task
# make soak          run everything for MINUTES=30, and see what grows
# make clean         remove what these made
#
# All set up .venv first where that is missing. PYTHON=python3.12 chooses the
# interpreter; PIP_ARGS is handed to pip install; WORKERS=8 runs the tests in
# as many processes.

PYTHON ?= python3
PIP_ARGS ?=
WORKERS ?= 2
MINUTES ?= 30
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# Written last, so that an interrupted set-up is taken up again.
READY := $(VENV)/ready-$(VERSION)
# mim and the tools find the interpreter and its scripts on PATH.
export PATH := $(BIN):$(PATH)

STARTED := $(shell date +%s)
SECONDS = $$(( $$(date +%s) - $(STARTED) ))
# As many processes as WORKERS, of one thread each.
PYTEST := OMP_NUM_THREADS=1 python -m pytest -n $(WORKERS)

DEMO_CONFIG := configs/mmdet/ssdlite_emo_1m_shapes.py
DEMO_DATA := demo/shapes/annotations/instances_val2017.json
DEMO_WORK := demo/work_dir

.PHONY: demo test test-timing test-configs test-inputs stress-kill soak clean

$(READY): constraints.txt pyproject.toml setup.py
	@echo '== Installing into $(VENV) with $(PYTHON): about 7 GB, some minutes =='
	@# Start anew where .venv is of another Python.
	[ -d $(VENV)/lib/python$(VERSION) ] || $(PYTHON) -m venv --clear $(VENV)
	@# Of 19,000 modules few are ever imported; those are compiled then.
	$(BIN)/python -m pip install --no-compile -c constraints.txt $(PIP_ARGS) \
	    -e '.[openmmlab,test]'
	$(BIN)/python -m pip check
	@touch $@
	@echo "== The set-up took $(SECONDS) s =="

$(DEMO_DATA): | $(READY)
	@echo '== Drawing the demo data set =='
	python tools/dataset_converters/generate_shapes.py shapes demo/shapes

demo: $(READY) $(DEMO_DATA)
	@echo '== Training SSDLite with EMO-1M from scratch: 4 to 5 minutes =='
	mim train mmdet $(DEMO_CONFIG) --work-dir $(DEMO_WORK) --resume
	@echo '== Testing the best checkpoint =='
	mim test mmdet $(DEMO_CONFIG) --work-dir $(DEMO_WORK)/test --show-dir images \
	    --checkpoint "$$(ls -t $(DEMO_WORK)/best_*.pth | head -n 1)"
	@python tools/misc/report_test.py $(DEMO_WORK)/test

test: $(READY)
	@echo '== Running the tests =='
	@# A file stays in one process, as its runs and data are made once there.
	$(PYTEST) --dist loadfile --no-loadscope-reorder --ignore=tests/test_deployment
	@# Exporters and runtimes bring native libraries of their own: after all
	@# other tests in one process, they crashed it once.
	$(PYTEST) --dist worksteal tests/test_deployment
	@echo "== $(SECONDS) s in all =="

test-timing: $(READY)
	@echo '== Measuring time and memory =='
	python -m pytest -m timing

test-configs: $(READY)
	@echo '== Training and testing every config for an iteration or two =='
	$(PYTEST) --dist worksteal -m 'not timing' tests/test_mim/test_tasks.py \
	    tests/test_configs tests/test_analysis

test-inputs: $(READY)
	python tests/bad_inputs

stress-kill: $(READY)
	@echo '== Killing trainings at random moments: about half an hour =='
	python -m pytest -m stress -s tests/test_mim/test_stress_kill.py

soak: $(READY)
	@echo '== Running everything again and again for MINUTES=30 =='
	MINUTES=$(MINUTES) python -m pytest -m soak -s -p no:warnings tests/test_mim/test_soak.py

clean:
	rm -rf $(VENV) demo build *.egg-info emo_mm/.mim
