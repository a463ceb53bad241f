# Everything a fresh Debian 12 needs is fetched by these targets; nothing is installed by hand.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= python3
SEEDS ?= 2000
FIRST ?= 0
JSON ?=
PURE := $(wildcard tests/unit tests/golden tests/transcripts tests/fuzz)

.PHONY: help setup packages audit check lint types imports unit coverage integration fuzz contract simulate lab system test-long test-watchdog test-storage test-galera test-ocf test-machines test-ansible test demo bench-failover bench-fencing bench-haproxy bench-serving bench-placement bench-resources bench-addresses bench-promote lock deb wheel clean bench-mount

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

packages:
	@bash deploy/packages.sh

$(STAMP): pyproject.toml requirements.lock | packages
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

setup: packages $(STAMP) ## virtual environment, etcd, HAProxy: all that is needed

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

audit: $(STAMP) ## known holes in the libraries, where that data can be had
	$(BIN)/python -m tools.audit

check: lint types imports audit ## ruff, mypy --strict, import rules, known holes

unit: $(STAMP) ## pure tests: no processes, no sockets, no waiting
	$(BIN)/pytest -qq -n 2 --hypothesis-profile quick $(PURE)

coverage: $(STAMP) ## how much of the protocol its examples cover: unit tests and transcripts, without the simulation
	$(BIN)/coverage run -m pytest -q tests/unit/decide tests/unit/election tests/transcripts
	$(BIN)/coverage report

integration: $(STAMP) ## tests that start processes, open sockets or wait, each on its own files
	$(BIN)/pytest -q -n 2 --dist loadfile tests/integration

simulate: $(STAMP) ## the deterministic simulation: make simulate SEEDS=100000 FIRST=0
	$(BIN)/python -m tests.simulation.run --seeds $(SEEDS) --first $(FIRST)

system: $(STAMP) ## resources on a real systemd, in a container
	bash deploy/packages.sh debootstrap systemd-container
	$(BIN)/pytest -q -m 'system and (long or not long)' tests/system

test-long: $(STAMP) ## what `make test` leaves out of the lab's tests and of those on a real systemd
	bash deploy/packages.sh debootstrap systemd-container
	$(BIN)/pytest -q -m long tests

test-watchdog: $(STAMP) ## the guard and real watchdog drivers, in a virtual machine
	bash deploy/packages.sh qemu-system-x86
	$(BIN)/pytest -q -rP -m watchdog tests/watchdog

OCF_AGENTS := resource-agents pacemaker-resource-agents libxml2-utils kmod

test-ocf: $(STAMP) ## OCF agents with the real programs: databases, web servers: make test-ocf ONLY=pgsql
	bash deploy/packages.sh $(OCF_AGENTS) nginx-light apache2 redis-server postgresql mariadb-server
	$(BIN)/pytest -q -rP -m ocf $(if $(ONLY),-k "$(ONLY)") tests/lab/resources/ocf

test-storage: $(STAMP) ## LVM, iSCSI, DRBD and NFS as docs/storage.md has them, in a virtual machine
	bash deploy/packages.sh qemu-system-x86 busybox kmod lvm2 tgt open-iscsi drbd-utils nfs-kernel-server
	$(BIN)/pytest -q -rP -m storage tests/storage

test-galera: $(STAMP) ## one elected writer with a real MariaDB and Galera
	bash deploy/packages.sh mariadb-server galera-4 rsync lsof
	$(BIN)/pytest -q -rP -m galera tests/galera

test-machines: $(STAMP) ## three machines with the package installed: make test-machines RELEASE=13 ONLY=reboot JSON=figures.json
	bash deploy/packages.sh debootstrap systemd-container
	HACTL_RELEASE=$(or $(RELEASE),12) HACTL_FIGURES=$(JSON) $(BIN)/pytest -q -m machines $(if $(ONLY),-k "$(ONLY)") tests/machines

ANSIBLE := .venv-ansible

$(ANSIBLE)/.installed: tests/ansible/requirements.lock | packages
	test -x $(ANSIBLE)/bin/python || $(PYTHON) -m venv $(ANSIBLE)
	$(ANSIBLE)/bin/pip install -q --disable-pip-version-check --require-hashes -r tests/ansible/requirements.lock
	touch $@

test-ansible: $(STAMP) $(ANSIBLE)/.installed ## deploy/ansible: ansible-lint, and site.yml on three machines: make test-ansible RELEASE=13
	bash deploy/packages.sh debootstrap systemd-container openssh-client
	HACTL_RELEASE=$(or $(RELEASE),12) HACTL_ANSIBLE=$(ANSIBLE)/bin $(BIN)/pytest -q -m ansible $(if $(ONLY),-k "$(ONLY)") tests/ansible

demo: setup ## a cluster, a power cut, planned moves: make demo JSON=figures.json
	$(BIN)/python -m hactl.lab.demo $(if $(JSON),--json $(JSON))

bench-failover: setup ## how long a client waits: make bench-failover RUNS=3 ONLY="power-cut move" JSON=figures.json
	$(BIN)/python -m bench.failover --runs $(or $(RUNS),10) $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

bench-fencing: setup ## the same with a fence device, and without: make bench-fencing RUNS=3 ONLY="frozen-fenced" JSON=figures.json
	$(BIN)/python -m bench.fencing --runs $(or $(RUNS),10) $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

bench-haproxy: setup ## changes of HAProxy under load, many services, a writer's switch: make bench-haproxy RUNS=3 ONLY="changes drain"
	bash deploy/packages.sh wrk
	$(BIN)/python -m bench.haproxy --runs $(or $(RUNS),5) $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

bench-mount: setup ## a disk that moves a hundred times, and a hundred power cuts: make bench-mount RUNS=10
	HACTL_ROUNDS=$(or $(RUNS),100) $(BIN)/pytest -q -rP --timeout 7200 tests/lab/mount

bench-promote: setup ## a Redis whose primary moves twenty times, and twenty power cuts: make bench-promote RUNS=5
	bash deploy/packages.sh redis-server
	HACTL_ROUNDS=$(or $(RUNS),20) $(BIN)/pytest -q -rP --timeout 7200 tests/lab/promote -k moves

bench-serving: setup ## floods against everything that a node listens on: make bench-serving SECONDS_EACH=60 JSON=figures.json
	$(BIN)/python -m bench.serving --seconds $(or $(SECONDS_EACH),60) $(if $(JSON),--json $(JSON))

bench-resources: setup ## a crash to its restart, and 200 groups of 3 resources: make bench-resources RUNS=20 JSON=figures.json
	bash deploy/packages.sh debootstrap systemd-container
	$(BIN)/python -m bench.resources --runs $(or $(RUNS),20) $(if $(JSON),--json $(JSON))

bench-addresses: setup ## 60 and 120 addresses in a group, started and moved: make bench-addresses RUNS=3 BEFORE=PYTHON
	$(BIN)/python -m bench.addresses --runs $(or $(RUNS),3) $(if $(BEFORE),--before $(BEFORE)) $(if $(JSON),--json $(JSON))

bench-placement: $(STAMP) ## how long it takes to place a thousand groups: make bench-placement JSON=figures.json
	$(BIN)/python -m bench.placement $(if $(JSON),--json $(JSON))

fuzz: $(STAMP) ## malformed input of every kind: make fuzz FUZZ_SECONDS=300 (each of some ten targets), FUZZ_DOCUMENTS=100000
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),300) FUZZ_DOCUMENTS=$(or $(FUZZ_DOCUMENTS),100000) $(BIN)/pytest -q -n 2 --timeout 3600 --reruns 0 tests/fuzz

COMPILE := pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --allow-unsafe

lock: ## write requirements.lock anew from pyproject.toml, and of it the package's; and Ansible's
	$(BIN)/$(COMPILE) --extra dev -o requirements.lock pyproject.toml
	$(BIN)/$(COMPILE) --constraint requirements.lock -o deploy/debian/requirements.lock pyproject.toml
	$(BIN)/$(COMPILE) -o tests/ansible/requirements.lock tests/ansible/requirements.in
	sed -i 's/^#    pip-compile.*/#    make lock/' requirements.lock deploy/debian/requirements.lock tests/ansible/requirements.lock

deb: ## the Debian package, in dist/: make deb RELEASE=12 (or 13)
	bash deploy/deb.sh $(or $(RELEASE),12) dist

wheel: $(STAMP) ## the wheel, in dist/, for other distributions
	$(BIN)/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w dist .
	rm -rf build

test: setup check ## every test; those that touch nothing but their own files on both processors
	bash deploy/packages.sh debootstrap systemd-container redis-server $(OCF_AGENTS)
	$(BIN)/pytest -q -n 2 $(PURE)
	$(BIN)/pytest -q -n 2 --dist loadfile tests/integration
	$(BIN)/pytest -q $(PURE:%=--ignore %) --ignore tests/integration

clean: ## remove what was built
	rm -rf $(VENV) $(ANSIBLE) build dist *.egg-info
