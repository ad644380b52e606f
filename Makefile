# Every target sets up what it needs itself and is quick the second time.
#
#   make demo        a whole site in one process: API, broker, simulated modules and the daemon
#   make test        the tests
#   make test-image  builds the container image and runs it
#   make test-vm     the package in a machine that boots, with modules plugged in over emulated USB
#   make lint        ruff, mypy, import contracts
#   make coverage    the tests, and which lines and branches they reach
#   make bench       speed and memory, as ratios
#   make screenshots the pictures in docs/pictures, from the running demo
#   make deb         the Debian packages, in dist
#   make lint-deb    what lintian says of them
#   make proto       the device link's protobuf modules, after a change of hardware/link/*.proto
#   make lock        the locked requirements, after a change of pyproject.toml
#   make clean       removes everything that the targets made

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test test-image test-vm coverage lint bench deb lint-deb screenshots proto lock clean system-packages \
  vm-packages

BIN := .venv/bin
# What the demo is told, e.g. make demo DEMO_ARGS=--json
DEMO_ARGS ?=
# Which parts of the bench, e.g. make bench BENCH_ARGS=site; all of them without
BENCH_ARGS ?=
# What pytest is told, e.g. make test TEST_ARGS="-k frames"
TEST_ARGS ?=

help:
	@sed -n 's/^#   //p' Makefile

demo: .venv/.demo
	@$(BIN)/ucm-demo $(DEMO_ARGS)

# TEST_TIER=unit is the explicit smaller run, without system packages.
ifneq ($(TEST_TIER),unit)
test: system-packages
endif
# More workers than a small machine has cores: most tests wait for a clock, a process or the network.
test: .venv/.dev .venv/oracle/requirements.txt .venv/enapter/requirements.txt
	$(BIN)/python -m pytest -n 4 --dist worksteal $(TEST_ARGS)

# Docker's engine is not needed: podman does the same, and keeps all that it needs in .image.
test-image: .venv/.dev
	@tools/system-packages podman runc mmdebstrap
	$(BIN)/python -m pytest tests/image --timeout 600 $(TEST_ARGS)

test-vm: .venv/.dev .vm/root.img deb
	$(BIN)/python -m pytest tests/vm $(TEST_ARGS)

# The guest's packages are not looked at again: remove .vm to have newer ones.
.vm/root.img: $(shell find tests/vm/image -type f) | vm-packages
	tests/vm/image/build.sh .vm

vm-packages:
	@tools/system-packages qemu-system-x86 mmdebstrap e2fsprogs busybox-static cpio kmod socat

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Daemons in processes of their own are measured too, but for those that are killed.
coverage: .venv/.dev .venv/oracle/requirements.txt .venv/enapter/requirements.txt system-packages
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --dist worksteal $(TEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: .venv/.dev system-packages
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

screenshots: .venv/.dev system-packages
	tools/alone $(BIN)/python -m tests.page.pictures docs/pictures

# DEB_VERSION=… gives them another version than that of pyproject.toml.
deb:
	@tools/system-packages build-essential debhelper python3-dev python3-venv
	@packaging/build-deb

lint-deb:
	@tools/system-packages lintian
	lintian --fail-on error,warning dist/*.deb

proto: .venv/.dev
	hardware/link/generate.sh $(BIN)/python

lock: .venv/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --upgrade uv
	requirements/compile.sh $(BIN)/uv

system-packages:
	@tools/system-packages systemd umockdev python3-gi gir1.2-umockdev-1.0 mosquitto prometheus curl iproute2 iptables \
	  avahi-daemon dbus python3-dbusmock chromium fonts-dejavu-core

clean:
	rm -rf .venv .vm .demo .image .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist build
	find daemon hardware tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# The dev lock is a superset of the demo's with the same versions, so either may come first.
.venv/.demo: .venv/pyvenv.cfg requirements/demo.txt pyproject.toml
	@tools/install requirements/demo.txt $@

.venv/.dev: .venv/pyvenv.cfg requirements/dev.txt pyproject.toml
	@tools/install requirements/dev.txt $@

# Espressif's own client, which the tests hold against the simulated module.
.venv/oracle/requirements.txt: requirements/oracle.txt .venv/pyvenv.cfg
	@tools/install-oracle

# The platform's own SDK and command line, which the tests hold against the site API.
.venv/enapter/requirements.txt: requirements/enapter.txt .venv/pyvenv.cfg
	@tools/install-enapter

.venv/pyvenv.cfg:
	@tools/make-venv
