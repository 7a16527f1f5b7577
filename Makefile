# richd. `make` builds, `make demo` shows, `make test` proves; reads top to bottom.

VERSION := 0.1.0
V       ?= @

# ---- variants: build/ is the default; sanitizers build beside it ---------------------------------
SANITIZE ?=
COVERAGE ?=
BUILD    := build$(if $(SANITIZE),/$(SANITIZE))$(if $(COVERAGE),/coverage)

# The shared history in PostgreSQL is built where its library is.
LIBPQ    := $(shell pkg-config --exists libpq 2>/dev/null && echo libpq)
# So is TLS.
LIBSSL   := $(shell pkg-config --exists openssl 2>/dev/null && echo libssl libcrypto)
PKGS     := libuv libzmq libwebsockets libcjson sqlite3 inih lapacke openblas $(LIBPQ) $(LIBSSL)
CFLAGS   ?= -O2 -g
override CFLAGS += -std=gnu11 -fPIC -I. -Iinclude -D_GNU_SOURCE -DRICHD_VERSION='"$(VERSION)"' \
	-fvisibility=hidden -fno-omit-frame-pointer -fopenmp-simd -MMD -MP -Wall -Wextra $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
ifdef DEV
override CFLAGS += -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wformat=2 -Wvla -Wundef -Wwrite-strings \
	-Wpointer-arith -Wcast-qual -Wduplicated-cond -Wlogical-op -Wnull-dereference
endif
ifeq ($(SANITIZE),address)
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined
else ifeq ($(SANITIZE),thread)
SAN := -fsanitize=thread
else ifneq ($(SANITIZE),)
$(error SANITIZE is address or thread, not $(SANITIZE))
endif
ifneq ($(COVERAGE),)
SAN := --coverage -fprofile-update=atomic -O0
endif
override CFLAGS  += $(SAN)
override LDFLAGS += $(SAN)

# ---- rooms: a folder is an archive, and may use those named before it (make check-layers) ---------
ROOMS     := proto/base \
	$(addprefix daemon/core/,matrix moments estimate measure detect monitor) proto/ryu proto proto/curve proto/spool \
	$(addprefix daemon/,host format store history share relay ingest feed http loop)
C_ROOMS   := proto/base proto/ryu proto proto/curve client/common client/c
CTL_ROOMS := proto/base proto/ryu proto proto/curve proto/spool client/common $(addprefix client/ctl/,common feed rows export figure top doctor) client/ctl

# A library is known from its room upwards: the core, before all others, knows BLAS alone.
LIBS_proto/base         := -lm
LIBS_daemon/core/matrix := -llapacke -lopenblas
LIBS_proto              := -lcjson
LIBS_proto/curve        := -lzmq
LIBS_proto/spool        := -lz -lzmq
LIBS_daemon/host        := -linih
LIBS_daemon/store       := -lsqlite3 -luv
LIBS_daemon/share       := $(LIBPQ:lib%=-l%) -lpthread
LIBS_daemon/http        := -lwebsockets $(LIBSSL:lib%=-l%)
LIBS_daemon/loop        := -lpthread
LIBS_client/c           := -lzmq -lpthread

# The page is part of the binary.
OBJECTS_daemon/http := $(BUILD)/obj/page.o
# So is what proto/MEASURES.md says.
OBJECTS_daemon/format := $(BUILD)/obj/meaning.o

# What a processor can do is asked in its own way; a shared history is there, or says that it is not.
FOREIGN := %/processor_$(if $(filter x86_64-%,$(shell $(CC) -dumpmachine)),other,x86_64).c \
	$(if $(LIBPQ),%/share/without.c,$(filter-out %/without.c %/merge.c %/tables.c,$(wildcard daemon/share/*.c))) \
	$(if $(LIBSSL),%/http/without_tls.c,%/http/certificate.c %/http/tls.c)
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out %/main.c $(FOREIGN),$(wildcard $(1)/*.c))) $(OBJECTS_$(1))
archive = $(BUILD)/lib/$(subst /,-,$(1)).a
reverse = $(if $(1),$(call reverse,$(wordlist 2,99,$(1))) $(firstword $(1)))
# $(call upto,ROOM,ROOMS): ROOMS up to and with ROOM.
upto    = $(if $(filter-out $(1),$(firstword $(2))),$(firstword $(2)) $(call upto,$(1),$(wordlist 2,99,$(2))),$(1))
below   = $(call upto,$(1),$(if $(filter $(1),$(ROOMS)),$(ROOMS),$(if $(filter $(1),$(C_ROOMS)),$(C_ROOMS),$(CTL_ROOMS))))
# What a program links that stands on ROOM: the archives from there downwards, and their libraries.
archives = $(foreach r,$(call reverse,$(call below,$(1))),$(call archive,$(r)))
link     = $(call archives,$(1)) $(foreach r,$(call reverse,$(call below,$(1))),$(LIBS_$(r)))

ALL_ROOMS := $(sort $(ROOMS) $(C_ROOMS) $(CTL_ROOMS))
TESTLIB   := $(BUILD)/lib/test.a

all: $(BUILD)/richd $(BUILD)/richctl $(BUILD)/librichd.so $(BUILD)/librichd.a $(BUILD)/example

# The folder itself is named, so that an archive does not keep a file that left.
$(foreach r,$(ALL_ROOMS),$(eval $(call archive,$(r)): $$(call objects,$(r)) $(r)))
$(TESTLIB): $(call objects,tests/lib) $(call objects,tests/lib/core) tests/lib tests/lib/core
$(BUILD)/librichd.a: $(foreach r,$(C_ROOMS),$(call objects,$(r)))
$(foreach r,$(ALL_ROOMS),$(call archive,$(r))) $(TESTLIB) $(BUILD)/librichd.a:
	@mkdir -p $(@D)
	$(V)rm -f $@ && ar rcs $@ $(filter %.o,$^)

# Centring and converting are loops over rows; at -O3 gcc makes vectors of them (matrix/vector.h).
$(BUILD)/obj/daemon/core/%.o: override CFLAGS += $(if $(SANITIZE)$(COVERAGE),,-O3)
# Ryu is not ours (proto/ryu/VENDORED).
$(BUILD)/obj/proto/ryu/%.o: override CFLAGS += -w
PAGE := $(shell find client/dashboard -type f)
$(BUILD)/obj/page.c: $(PAGE) daemon/http/embed.sh daemon/http/join.awk Makefile
	@mkdir -p $(@D)
	$(V)daemon/http/embed.sh client/dashboard $@
$(BUILD)/obj/meaning.c: daemon/format/meaning.awk proto/MEASURES.md
	@mkdir -p $(@D)
	$(V)awk -f $^ >$@.new && mv $@.new $@
$(BUILD)/obj/page.o $(BUILD)/obj/meaning.o: %.o: %.c
	$(V)$(CC) $(CFLAGS) -c -o $@ $<
$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(V)$(CC) $(CFLAGS) -c -o $@ $<

TOP_ROOM := $(lastword $(ROOMS))
$(BUILD)/richd: $(BUILD)/obj/daemon/main.o $(call archives,$(TOP_ROOM))
	$(V)$(CC) $(LDFLAGS) -o $@ $< $(call link,$(TOP_ROOM))
$(BUILD)/richctl: $(BUILD)/obj/client/ctl/main.o $(call archives,client/ctl)
	$(V)$(CC) $(LDFLAGS) -o $@ $< $(call link,client/ctl)
$(BUILD)/librichd.so: $(call objects,client/c) $(call archives,client/c)
	$(V)$(CC) $(LDFLAGS) -shared -Wl,-soname,librichd.so.0 -o $@ $(call objects,client/c) $(call link,client/c)
	@ln -sf librichd.so $@.0

# Linked as a program of others is: it finds what richd.h exports, and nothing else.
$(BUILD)/example: $(BUILD)/obj/client/c/examples/train.o $(BUILD)/librichd.so
	$(V)$(CC) $(LDFLAGS) -o $@ $^ -Wl,-rpath,'$$ORIGIN' -lm

# The proof that a room stands on those before it: it links alone with them, every symbol found, and
# includes nothing of the others.
LAYERS := $(foreach r,$(ALL_ROOMS),$(BUILD)/layers/$(subst /,-,$(r)).so)
define layer
$(BUILD)/layers/$(subst /,-,$(1)).so: $(call archives,$(1))
	@mkdir -p $$(@D)
	@! grep -n '^#include "' $(wildcard $(1)/*.[ch]) /dev/null | \
		grep -vE '"(include/richd.h|($(subst $() ,|,$(strip $(call below,$(1)))))/[^/]*)"'
	$(V)$(CC) -shared -o $$@ -Wl,-z,defs -Wl,--whole-archive $(call archive,$(1)) -Wl,--no-whole-archive $(call link,$(1))
endef
$(foreach r,$(ALL_ROOMS),$(eval $(call layer,$(r))))
check-layers: $(LAYERS)
	@echo "$(words $(LAYERS)) rooms stand on those before them"

# tests/unit mirrors the rooms; a .c without a test of its name says by which it is tested.
check-tests:
	@$(PYTHON) tests/check_tests.py

# Each link of a page leads somewhere.
check-links:
	@$(PYTHON) tests/check_links.py

# ---- unit tests: tests/unit mirrors the rooms; those of the core link the core and nothing else ------
# Tests of the core can make the n-th malloc fail (tests/lib/fault.h).
FAULTS := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--undefined=__wrap_malloc
UNIT := $(patsubst %.c,$(BUILD)/%,$(shell find tests/unit tests/sim -name 'test_*.c' | sort))
ifeq ($(LIBSSL),)
UNIT := $(filter-out %/test_certificate,$(UNIT))
endif
ifeq ($(LIBPQ),)
UNIT := $(filter-out %/share/test_rows %/share/test_tally,$(UNIT))
endif
# The thread sanitizer has nothing to see in a test of one thread, and takes ten times as long.
ifeq ($(SANITIZE)$(RICHD_TESTS),thread)
UNIT := $(filter $(addprefix $(BUILD)/tests/unit/,$(addsuffix /%,daemon/store daemon/history daemon/ingest \
	daemon/feed daemon/http daemon/loop client/c) daemon/core/moments/test_fold daemon/core/moments/test_fold_line daemon/core/measure/test_shared_parts),$(filter-out %/test_store_faults,$(UNIT)))
endif
# Where BLAS reads is seen by pages that are not there, with a sanitizer or without.
ifeq ($(SANITIZE)$(RICHD_TESTS),address)
UNIT := $(filter-out %/test_linalg_guard,$(UNIT))
endif
CORE_TOP := daemon/core/monitor
$(BUILD)/tests/%:                  LIBS = $(call link,$(TOP_ROOM))
$(BUILD)/tests/sim/%:              LIBS = $(call link,$(CORE_TOP))
$(BUILD)/tests/unit/daemon/core/%: LIBS = $(call link,$(CORE_TOP))
$(BUILD)/tests/unit/daemon/core/%: WRAP = $(FAULTS)
$(BUILD)/tests/unit/client/c/%:    LIBS = $(call link,client/c)
$(BUILD)/tests/unit/client/common/%: LIBS = $(call link,client/c)
$(BUILD)/tests/unit/client/ctl/%:  LIBS = $(call link,client/ctl)
# Work arrays lie between guard pages; malloc and free are the test's own.
$(BUILD)/tests/unit/daemon/core/matrix/test_linalg_guard: WRAP = -Wl,--wrap=malloc,--wrap=free
# A library of SQLite that is older.
$(BUILD)/tests/unit/daemon/store/test_sql: WRAP = -Wl,--wrap=sqlite3_libversion_number
# Calls of SQLite and our own allocations that fail.
$(BUILD)/tests/unit/daemon/store/test_record: WRAP = $(FAULTS),--wrap=sqlite3_prepare_v3,--wrap=sqlite3_step,--wrap=sqlite3_column_blob,--wrap=sqlite3_errcode
# Files that cannot be opened, read, named, removed or synced.
$(BUILD)/tests/unit/daemon/store/test_store_files: WRAP = $(addprefix -Xlinker --wrap=,open fopen fclose \
	fgets read stat statvfs access link unlink rename fsync)
# A disk without space.
$(BUILD)/tests/unit/daemon/store/test_repair: WRAP = -Wl,--wrap=statvfs
# No room for answers.
$(BUILD)/tests/unit/daemon/feed/test_hub: WRAP = -Wl,--wrap=text_new
# Shares that wait for the test.
$(BUILD)/tests/unit/daemon/loop/test_work: WRAP = -Wl,--wrap=job_work
# The whole daemon, with a trainer of ours, and jobs that find no memory.
$(BUILD)/tests/unit/daemon/loop/test_loop: WRAP = -Wl,--wrap=work_start
$(BUILD)/tests/unit/daemon/loop/test_loop: LIBS = $(call archive,client/c) $(call archive,client/common) $(call link,$(TOP_ROOM))
$(UNIT): $(BUILD)/%: $(BUILD)/obj/%.o $(TESTLIB) $(foreach r,$(ALL_ROOMS),$(call archive,$(r)))
	@mkdir -p $(@D)
	$(V)$(CC) $(LDFLAGS) $(WRAP) -o $@ $< $(TESTLIB) $(LIBS) -lcmocka

$(BUILD)/tests/unit/client/c/test_example: $(BUILD)/example

# OPENBLAS_CORETYPE=TYPE where OpenBLAS misses the processor, as richd does for itself; else nothing.
KERNELS = env $$($(BUILD)/richd --print-kernels)

# A few rounds show nearly all that many can show, and of these a sanitizer needs fewer: the long forms
# are those of RICHD_TESTS=all (make test-long), and of a program that is run by hand.
ifneq ($(RICHD_TESTS),all)
unit: export FAULT_STRIDE ?= $(if $(SANITIZE),1999,997)
unit: export DAMAGE_STRIDE ?= $(if $(SANITIZE),19,13)
unit: export SIM_SEEDS ?= $(if $(SANITIZE),150,400)
unit: export TRANSITION_SERIES ?= $(if $(SANITIZE),100,300)
unit: export ZWATCH_MESSAGES ?= $(if $(SANITIZE),200000,1000000)
endif
# Tests wait most of the time: so many at once on any machine.
SIDE_BY_SIDE := 4
# Jobs of a make that is called; within one that has jobs already, they are shared.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
TWO  = -Otarget $(if $(findstring jobserver,$(MAKEFLAGS)),,-j2)

unit: $(UNIT) $(BUILD)/richd
	@printf '%s\n' $(UNIT) | $(KERNELS) xargs -n 1 -P $(SIDE_BY_SIDE) tests/unit/run.sh

# ---- coverage: lines and branches of what others stand on, by its own tests ---------------------
# What is promised by an assertion has no second branch. Which lines are left out: `make coverage
# COVERAGE_REPORT="--html-details build/coverage/report.html"`.
COVERED_ROOMS   := proto daemon/core daemon/store
COVERED_TESTS    = $(filter $(addprefix $(BUILD)/tests/unit/,$(COVERED_ROOMS:%=%/%)) $(BUILD)/tests/sim/%,$(UNIT))
COVERAGE_REPORT ?= --txt -
coverage:
	@$(MAKE) --no-print-directory COVERAGE=1 $(JOBS) coverage-tests
	@gcovr --root . --object-directory build/coverage/obj $(COVERED_ROOMS:%=--filter %/) --branches \
		--exclude-branches-by-pattern '.*assert\(.*' --print-summary $(COVERAGE_REPORT) build/coverage/obj
coverage-tests: export FAULT_STRIDE ?= 97
coverage-tests: export SIM_SEEDS ?= 100
coverage-tests: export TRANSITION_SERIES ?= 100
coverage-tests: $(COVERED_TESTS)
	@find $(BUILD) -name '*.gcda' -delete
	@printf '%s\n' $^ | xargs -n 1 -P $(SIDE_BY_SIDE) tests/unit/run.sh | grep -E '^==|FAILED'

# ---- mutation: which changes of an operator no test notices (tests/mutate.py) --------------------
MUTANTS ?= 200
SEED    ?= 1
MUTATED ?= proto/wire.c proto/control_field.c $(wildcard daemon/core/measure/*.c daemon/core/moments/*.c)
MUTATED_TESTS = $(filter $(addprefix $(BUILD)/tests/unit/,proto/% daemon/core/measure/% daemon/core/moments/%),$(UNIT))
mutate: $(MUTATED_TESTS)
	@tests/mutate.py --build $(BUILD) --cc '$(CC) $(filter-out -MMD -MP,$(CFLAGS))' --mutants $(MUTANTS) \
		--seed $(SEED) --core-link '$(FAULTS) $(call link,$(CORE_TOP))' --link '$(call link,$(TOP_ROOM))' $(MUTATED)

# ---- for hours, before a release: each with its count and result in a table -----------------------
SHARE ?= 1
torture: all $(filter $(BUILD)/tests/sim/%,$(UNIT)) fuzz-build
	@PYTHONPATH=client/python/src RICHD_BUILD=$(BUILD) $(KERNELS) $(PYTHON) tests/torture/torture.py --share $(SHARE) $(PARTS)

# ---- benchmarks, in a quiet hour: `make bench` prints the table of tests/bench/table.py ------------
# The other programs of tests/bench show what tests/README.md and the pages of proto say, and run by hand.
BENCH := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/bench_*.c))
$(BENCH) $(BUILD)/tests/bench/paths: $(BUILD)/%: $(BUILD)/obj/%.o $(BUILD)/obj/tests/bench/bench.o $(TESTLIB) $(call archives,$(TOP_ROOM))
	@mkdir -p $(@D)
	$(V)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TESTLIB) $(BENCH_LIBS) $(call link,$(TOP_ROOM))
# A trainer, and the daemon as a program.
WAYS := $(addprefix $(BUILD)/tests/bench/,bench_way bench_sockets)
$(WAYS): $(BUILD)/obj/tests/bench/daemon.o $(BUILD)/richd $(call archive,client/c) $(call archive,client/common)
$(WAYS): BENCH_LIBS = $(call archive,client/c) $(call archive,client/common)

# Many trainers in one program: `build/tests/load/load ENDPOINT --help`.
LOAD := $(BUILD)/tests/load/load
$(LOAD): $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/load/*.c)) $(BUILD)/obj/tests/bench/bench.o $(TESTLIB) $(call archive,client/c) $(call archive,client/common) $(call archives,$(TOP_ROOM))
	@mkdir -p $(@D)
	$(V)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TESTLIB) $(call archive,client/c) $(call archive,client/common) $(call link,$(TOP_ROOM))

# How far one daemon goes: the tables of daemon/HOW_FAR.md, in three minutes.
how-far: all $(LOAD)
	@RICHD_BUILD=$(BUILD) PYTHONPATH=client/python/src $(PYTHON) tests/load/how_far.py $(if $(ONLY),--only "$(ONLY)") $(if $(HISTORY),--history "$(HISTORY)")

bench: all $(BENCH)
	@RICHD_BUILD=$(BUILD) $(KERNELS) $(PYTHON) tests/bench/table.py $(if $(ONLY),--only $(ONLY))

# Instructions of the hot paths beside those of tests/bench/counts.json; UPDATE=1 writes it.
counts: $(BUILD)/tests/bench/paths
	@RICHD_BUILD=$(BUILD) $(PYTHON) tests/bench/counts.py $(if $(UPDATE),--update)

# ---- fuzzing: what comes from outside, by clang's libFuzzer, with both sanitizers -----------------
# `make fuzz` gives each target FUZZ_SECONDS; `make fuzz-long` gives it RUNS inputs, which takes hours.
FUZZ         := build/fuzz
FUZZ_SECONDS ?= 5
RUNS         ?= 100000000
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(FUZZ)/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SOURCES := tests/fuzz/fuzz.c $(wildcard proto/base/*.c proto/ryu/*.c proto/*.c) \
	$(addprefix daemon/host/,config.c log.c priority.c values.c) $(addprefix daemon/http/,access.c head.c message.c route.c tokens.c without_tls.c)
FUZZ_FLAGS   := -g -O1 -std=gnu11 -I. -Iinclude -D_GNU_SOURCE -DRICHD_VERSION='"fuzz"' -MMD -MP \
	-fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZ_OBJECTS := $(FUZZ_SOURCES:%.c=$(FUZZ)/obj/%.o)
$(FUZZ)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(V)clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<
$(FUZZ)/fuzz.a: $(FUZZ_OBJECTS)
	$(V)rm -f $@ && ar rcs $@ $^
$(FUZZ_TARGETS): $(FUZZ)/%: $(FUZZ)/obj/tests/fuzz/%.o $(FUZZ)/fuzz.a
	$(V)clang -fsanitize=fuzzer,address,undefined -o $@ $< $(FUZZ)/fuzz.a -lcjson -linih -lm
$(FUZZ)/corpus: tests/fuzz/corpus.py $(wildcard proto/vectors/*.json)
	$(V)rm -rf $@ && tests/fuzz/corpus.py $@
fuzz-build: $(FUZZ_TARGETS) $(FUZZ)/corpus
fuzz: fuzz-build
	@tests/fuzz/run.py $(FUZZ) --seconds $(FUZZ_SECONDS)
fuzz-long: fuzz-build
	@tests/fuzz/run.py $(FUZZ) --runs $(RUNS)

# ---- tests that drive the real programs, and what is checked without running ----------------------
PYTHON := /usr/bin/python3
PYTEST = PYTHONPATH=client/python/src RICHD_BUILD=$(BUILD) $(KERNELS) $(PYTHON) -m pytest -q -p no:cacheprovider
export PYTHONDONTWRITEBYTECODE := 1

export TSAN_OPTIONS := suppressions=$(CURDIR)/tests/tsan.supp
e2e: all $(LOAD)
	$(PYTEST) -n $(SIDE_BY_SIDE) --dist loadgroup tests/e2e tests/ctl
python: all
	$(PYTEST) -n 2 client/python/tests
	$(PYTEST) tests/examples tests/bench

# What has to hold on a GPU and what it costs there, under 8 minutes. Nothing else needs one.
gpu:
	$(PYTHON) tests/gpu/run.py

# The page in Chromium, one file after the other: they measure.
browser: all tests/browser/node_modules
	@for t in tests/browser/*.test.js; do RICHD_BUILD=$(BUILD) node --test $$t || exit 1; done
tests/browser/node_modules: tests/browser/package-lock.json
	cd $(@D) && npm ci --silent && touch node_modules
# The pictures of client/dashboard/screenshots, from a run that is trained for them (some minutes).
screenshots: all tests/browser/node_modules
	RICHD_BUILD=$(BUILD) node tests/browser/screenshots.js

# The frameworks that the Python package has callbacks for, in an environment of their own; every
# package of it is pinned, torch and numpy are Debian's.
FRAMEWORKS := build/frameworks
FRAMEWORK_PINS := $(wildcard client/python/frameworks/requirements-*.txt)
# What wants other versions of the same packages: a folder each.
FRAMEWORKS_APART := trackio keras-torch tables
FRAMEWORKS_PIP := install --quiet --no-deps
export PIP_ROOT_USER_ACTION := ignore
frameworks: private PYTHON = $(FRAMEWORKS)/bin/python
frameworks: all $(FRAMEWORKS)/installed
	$(PYTEST) -n 2 --dist loadfile tests/frameworks
$(FRAMEWORKS)/installed: $(FRAMEWORK_PINS) $(FRAMEWORKS_APART:%=client/python/frameworks/%.txt)
	$(PYTHON) -m venv --clear --system-site-packages --without-pip $(@D)
	@$(PYTHON) -m pip --python $(@D)/bin/python $(FRAMEWORKS_PIP) $(addprefix -r ,$(FRAMEWORK_PINS)) || \
		{ echo "The frameworks were not installed: pip needs the network for $^." >&2; exit 1; }
	@set -e; for one in $(FRAMEWORKS_APART); do \
		$(PYTHON) -m pip $(FRAMEWORKS_PIP) --target $(@D)/$$one -r client/python/frameworks/$$one.txt; done
	@touch $@

# The client with the oldest and the newest numpy and pyzmq that it runs with: what needs no torch, and
# runs on the real daemon.
VERSIONS := oldest newest
versions: $(VERSIONS:%=version-%)
$(VERSIONS:%=version-%): private PYTHON = build/versions/$(@:version-%=%)/bin/python
$(VERSIONS:%=version-%): version-%: all build/versions/%/installed
	$(PYTEST) $$(grep -LE '^ *import torch|"gpu"' client/python/tests/test_*.py)
	$(PYTEST) tests/e2e/trainer/test_streams_a_run_and_reads_it_back.py
build/versions/%/installed: client/python/versions/%.txt
	$(PYTHON) -m venv --clear --without-pip $(@D)
	@$(PYTHON) -m pip --python $(@D)/bin/python install --quiet --only-binary :all: -r $< || \
		{ echo "numpy and pyzmq were not installed: pip needs the network for $<." >&2; exit 1; }
	@touch $@

# The same on other Pythons, which other Debians have; on a new torch with new frameworks as well.
# Takes minutes, the first time a quarter of an hour, and needs root.
test-pythons: all
	@dpkg-query -W debootstrap >/dev/null 2>&1 || $(MAKE) --no-print-directory pythons-deps
	tests/pythons/run.sh bullseye && tests/pythons/run.sh trixie && tests/pythons/run.sh sid

# The store on the oldest SQLite that it runs with, Debian 11's.
test-sqlite: $(filter $(BUILD)/tests/unit/daemon/store/% $(BUILD)/tests/unit/daemon/history/%,$(UNIT)) $(BUILD)/richd
	@tests/debian/old_sqlite.sh $(BUILD)/sqlite $(filter-out %/richd,$^)

# One variant, tests and all: `make check`, `make SANITIZE=address check`. What a sanitizer leaves out
# says so: tests/conftest.py.
check:
	@$(MAKE) --no-print-directory $(JOBS) all $(UNIT)
	@$(MAKE) --no-print-directory $(TWO) unit e2e

# Without Ryu, which is not ours.
C_FILES := $(filter-out proto/ryu/%,$(shell git ls-files '*.c' 2>/dev/null || find . -name '*.c'))
H_FILES := $(filter-out proto/ryu/%,$(shell git ls-files '*.h' 2>/dev/null || find . -name '*.h'))

# Each header compiles alone: it includes what it needs.
check-headers:
	@for h in $(H_FILES); do \
		printf '#include "%s"\n' $$h | $(CC) $(filter-out -MMD -MP,$(CFLAGS)) -fsyntax-only -x c - || exit 1; \
	done; echo "$(words $(H_FILES)) headers compile alone"
format:
	clang-format -i $(C_FILES) $(H_FILES)
format-check:
	@clang-format --dry-run --Werror $(C_FILES) $(H_FILES) && echo "$(words $(C_FILES) $(H_FILES)) files are formatted"
# The lists are short and reasoned: .clang-tidy, and for cppcheck: err_set yields its code also where
# nobody wants it; prototypes name the arguments that need a name. Python: client/python/pyproject.toml;
# E203 is about slices of expressions (values[first : first + n]), where pycodestyle errs.
# A function of too many paths is followed for a quarter of the steps that clang's analyser would take,
# in a quarter of the time.
LINT_FLAGS := -std=gnu11 -I. -Iinclude $(if $(LIBPQ),$(shell pkg-config --cflags libpq)) -D_GNU_SOURCE -DRICHD_VERSION=\"0\"
TIDY_FLAGS := $(LINT_FLAGS) -Xclang -analyzer-config -Xclang max-nodes=60000
lint:
	@printf '%s\0' $(filter-out tests/%,$(C_FILES)) | xargs -0 -n 6 -P $(shell nproc) \
		sh -c 'clang-tidy --quiet "$$@" -- $(TIDY_FLAGS) 2>/dev/null' sh && echo "clang-tidy is content"
	@cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr -j $(shell nproc) -I. -Iinclude \
		--enable=warning,portability,performance --suppress=missingIncludeSystem \
		--suppress=constStatement --suppress=funcArgOrderDifferent \
		-D_GNU_SOURCE -DRICHD_VERSION='"0"' $(filter-out tests/%,$(C_FILES)) && echo "cppcheck is content"
	@flake8 --max-line-length=100 --extend-ignore=E203 client/python client/manual tests/bench tests/bench/compare tests/load tests/browser tests/frameworks tests/fuzz tests/gpu tests/pythons tests/torture tests/check_tests.py tests/check_links.py tests/mutate.py && echo "flake8 is content"
	@cd client/python && mypy --cache-dir=/dev/null --no-error-summary && echo "mypy is content"

# Everything, from a bare machine. Where tests wait something else computes: stages run two at a time,
# and say what they have to say when they end.
test: test-deps tools
	$(MAKE) --no-print-directory DEV=1 $(JOBS) all $(UNIT) $(BENCH)
	$(MAKE) --no-print-directory DEV=1 $(TWO) format-check check-layers check-tests check-links check-headers e2e lint unit counts fuzz python versions frameworks browser
	$(MAKE) --no-print-directory $(TWO) check-address check-thread
check-address check-thread:
	$(MAKE) --no-print-directory SANITIZE=$(@:check-%=%) check
# Each test in each variant, in its long form. Takes an hour and more.
test-long: test-deps tools
	$(MAKE) --no-print-directory DEV=1 RICHD_TESTS=all check python versions frameworks browser
	$(MAKE) --no-print-directory RICHD_TESTS=all check-address check-thread

# ---- dependencies: Debian's packages, and of them only those that are missing ---------------------
BUILD_PACKAGES := gcc make pkg-config libc6-dev libuv1-dev libzmq3-dev libwebsockets-dev \
	libwebsockets-evlib-uv libcjson-dev libsqlite3-dev libinih-dev libopenblas-dev liblapacke-dev zlib1g-dev libpq-dev libssl-dev brotli
DEMO_PACKAGES  := python3 python3-numpy python3-zmq python3-torch jq
PAPER_PACKAGES := python3-sklearn python3-matplotlib
TEST_PACKAGES  := libcmocka-dev python3-scipy python3-pytest python3-pytest-xdist python3-pyte python3-seccomp python3-pip python3-matplotlib openssl clang clang-format clang-tidy \
	libclang-rt-14-dev cppcheck flake8 gcovr mypy strace systemd valgrind \
	socat iproute2 locales mandoc zsh fish chromium $(if $(shell command -v node),,nodejs) $(if $(shell command -v npm),,npm)

# Debian's package makes a server and starts it, unless it is told not to.
SERVER_PACKAGES := postgresql-15 pgbouncer
NO_CLUSTER      := /etc/postgresql-common/createcluster.conf

DEB_PACKAGES   := build-essential dpkg-dev debhelper dh-python pybuild-plugin-pyproject python3-all python3-hatchling lintian fakeroot git systemd-container
WHEEL_PACKAGES := gcc make brotli dpkg-dev cmake tcl autoconf automake libtool python3-venv

define install
@missing=$$(for p in $(1); do \
	dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
[ -z "$$missing" ] && exit 0; echo "installing" $$missing; \
as=; [ "$$(id -u)" = 0 ] || as=sudo; \
$$as apt-get update -qq && \
$$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null
endef
deps:
	$(call install,$(BUILD_PACKAGES) $(DEMO_PACKAGES))
paper-deps: deps
	$(call install,$(PAPER_PACKAGES))
pythons-deps:
	$(call install,debootstrap)
wheel-deps:
	$(call install,$(WHEEL_PACKAGES))
deb-deps:
	$(call install,$(BUILD_PACKAGES) $(DEB_PACKAGES))
test-deps: paper-deps
	$(call install,$(TEST_PACKAGES))
	@[ -e $(NO_CLUSTER) ] || { as=; [ "$$(id -u)" = 0 ] || as=sudo; \
		$$as mkdir -p $(dir $(NO_CLUSTER)) && echo "create_main_cluster = false" | $$as tee $(NO_CLUSTER) >/dev/null; }
	$(call install,$(SERVER_PACKAGES))

# Prometheus scrapes us in a test, and nginx stands in front of us. Their packages would start
# services, so only their files are taken.
TOOLS := build/tools/usr/bin/prometheus build/tools/usr/sbin/nginx
tools: $(TOOLS)
$(TOOLS):
	@mkdir -p build/tools && cd build/tools && apt-get download -qq $(@F) && \
	dpkg-deb -x $(@F)_*.deb . && touch -c $(@:build/tools/%=%) && echo "fetched $(@F)"

# ---- the wheel: richd with all that it needs, for any Linux of glibc 2.28 (client/python/wheel) -----
# test-wheel installs it into this Debian's Python and into an older and a newer Debian, as root.
wheel test-wheel: wheel-deps
	@$(MAKE) --no-print-directory -f client/python/wheel/Makefile VERSION=$(VERSION) $(JOBS) $@
test-wheel: all tools pythons-deps $(LOAD)

demo: deps
	@$(MAKE) --no-print-directory -j$(shell nproc) all
	@client/demo.sh

# The paper's claims, measured: tables and figures into build/reproduce. REPRODUCE goes to each example.
reproduce: paper-deps
	@$(MAKE) --no-print-directory -j$(shell nproc) all
	@client/reproduce.sh $(REPRODUCE)

# ---- man pages and completions of shells: what --help and richd.h say (client/manual) ----------------
MANUAL := $(wildcard client/manual/*.py client/manual/*.in) include/richd.h
manual: $(BUILD)/share/made
$(BUILD)/share/made: $(MANUAL) $(BUILD)/richd $(BUILD)/richctl
	@rm -rf $(@D)
	$(V)$(PYTHON) client/manual/generate.py $(BUILD) $(VERSION) $(@D)
	@touch $@

# ---- installation --------------------------------------------------------------------------------
# All is put together below STAGE, and copied from there, with a list of what was made. `uninstall`
# goes by the list: it removes what install put there, and folders that were not there before it.
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
DESTDIR ?=
DEST    := $(abspath $(DESTDIR))
LIST    := $(PREFIX)/share/richd/installed
STAGE   := $(BUILD)/stage
INSTALL := install -D
# Nothing, for a package whose debugging symbols go elsewhere.
STRIP_FLAG ?= -s
# Of a user's own PREFIX, ~/.local, systemd reads share; of the others both, and Debian has it in lib.
USER_UNITS := $(PREFIX)/$(if $(filter /usr /usr/local,$(PREFIX)),lib,share)/systemd/user

stage: all manual
	@rm -rf $(STAGE)
	$(V)$(INSTALL) $(STRIP_FLAG) -t $(STAGE)$(PREFIX)/bin $(BUILD)/richd $(BUILD)/richctl
	$(V)$(INSTALL) -m 644 -t $(STAGE)$(PREFIX)/include include/richd.h
	$(V)$(INSTALL) -m 644 -t $(STAGE)$(LIBDIR) $(BUILD)/librichd.a
	$(if $(STRIP_FLAG),$(V)strip --strip-debug $(STAGE)$(LIBDIR)/librichd.a)
	$(V)$(INSTALL) -m 644 $(STRIP_FLAG) $(BUILD)/librichd.so $(STAGE)$(LIBDIR)/librichd.so.$(VERSION)
	@ln -s librichd.so.$(VERSION) $(STAGE)$(LIBDIR)/librichd.so.0
	@ln -s librichd.so.0 $(STAGE)$(LIBDIR)/librichd.so
	@mkdir -p $(STAGE)$(LIBDIR)/pkgconfig $(STAGE)$(PREFIX)/lib/systemd/system $(STAGE)$(USER_UNITS)
	$(V)sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' client/c/richd.pc >$(STAGE)$(LIBDIR)/pkgconfig/richd.pc
	$(V)sed 's|@BINDIR@|$(PREFIX)/bin|' systemd/richd.service >$(STAGE)$(PREFIX)/lib/systemd/system/richd.service
	$(V)sed 's|@BINDIR@|$(PREFIX)/bin|' systemd/richd.user.service >$(STAGE)$(USER_UNITS)/richd.service
	$(V)$(INSTALL) -m 644 -t $(STAGE)$(PREFIX)/lib/systemd/system systemd/richd.slice
	$(V)$(INSTALL) -m 644 systemd/richd.sysusers $(STAGE)$(PREFIX)/lib/sysusers.d/richd.conf
	$(V)$(INSTALL) -m 644 -t $(STAGE)$(PREFIX)/share/richd systemd/no-page.conf
	$(V)cp -r $(addprefix $(BUILD)/share/,man bash-completion zsh fish) $(STAGE)$(PREFIX)/share
	@chmod -R u=rwX,go=rX $(STAGE)

install: stage
	@umask 022; list="$(DEST)$(LIST)"; mkdir -p "$(DEST)/"; cd $(STAGE) && { \
		cat "$$list" 2>/dev/null; echo ".$(LIST)"; find . ! -type d; \
		find . -type d | while read -r each; do [ -d "$(DEST)/$$each" ] || echo "$$each"; done; \
	} | sort -u >../installed; \
	cp -dR --remove-destination . "$(DEST)/" && cp ../installed "$$list"
	@[ -n "$(DEST)" ] || [ "$$(id -u)" != 0 ] || ldconfig

# Backwards: what lies in a folder goes before it. One that has something else by now stays.
uninstall:
	@cd "$(DEST)/" && [ -e ".$(LIST)" ] || { echo "nothing is installed in $(DEST)$(PREFIX)" >&2; exit 1; }
	@cd "$(DEST)/" && sort -r ".$(LIST)" | while read -r each; do \
		if [ -d "$$each" ] && [ ! -L "$$each" ]; then rmdir --ignore-fail-on-non-empty "$$each"; \
		else rm -f "$$each"; fi; done

# ---- Debian's packages: richd, librichd0, librichd-dev and python3-richd, into build/deb --------------
# systemd/debian has to lie at the top of what is built, so a copy of the tree is.
deb: deb-deps
	@rm -rf build/deb && mkdir -p build/deb/richd
	@{ git ls-files -z -c -o --exclude-standard 2>/dev/null || find . -path ./build -prune -o ! -type d -print0; } | \
		xargs -0 cp --parents -Pt build/deb/richd
	@mv build/deb/richd/systemd/debian build/deb/richd/debian
	@cd build/deb/richd && dpkg-parsechangelog -SVersion | grep -qx $(VERSION) || { echo "systemd/debian/changelog is of another version" >&2; exit 1; }
	@cd build/deb/richd && env -u MAKEFLAGS -u MAKELEVEL -u PYTHONPATH PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg-buildpackage --no-sign --build=binary -j$(shell nproc) >../log 2>&1 || { tail -30 ../log; exit 1; }
	@cd build/deb && lintian --fail-on error,warning *.changes && ls -l *.deb
# They are installed, used, removed and purged in a fresh Debian 12; as root, in some minutes.
test-deb: pythons-deps deb
	@tests/debian/packages.sh build/debian build/deb/*.deb

clean:
	rm -rf build

-include $(shell find $(BUILD)/obj $(FUZZ)/obj -name '*.d' 2>/dev/null)
.SECONDARY:
.PHONY: wheel test-wheel wheel-deps
.PHONY: manual stage uninstall test-sqlite deb test-deb deb-deps
.PHONY: all unit bench how-far counts e2e python frameworks versions $(VERSIONS:%=version-%) fuzz fuzz-build fuzz-long coverage coverage-tests mutate torture test-pythons pythons-deps gpu browser screenshots check check-address check-thread check-layers check-tests check-links check-headers format format-check lint test test-long deps paper-deps test-deps tools demo reproduce install clean
