# richd. `make` builds, `make demo` shows, `make test` proves; reads top to bottom.

VERSION := 0.1.0
V       ?= @

# ---- variants: build/ is the default; sanitizers build beside it ---------------------------------
SANITIZE ?=
BUILD    := build$(if $(SANITIZE),/$(SANITIZE))

PKGS     := libuv libzmq libwebsockets libcjson sqlite3 inih libsystemd lapacke openblas
CFLAGS   ?= -O2 -g
override CFLAGS += -std=gnu11 -fPIC -I. -Iinclude -D_GNU_SOURCE -DRICHD_VERSION='"$(VERSION)"' \
	-fvisibility=hidden -fno-omit-frame-pointer -MMD -MP -Wall -Wextra $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
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
override CFLAGS  += $(SAN)
override LDFLAGS += $(SAN)

# ---- the layers: each library may use those to its right -----------------------------------------
#   main -> io -> core -> base          ctl, librichd -> proto -> base          io -> proto
BLAS_LIBS := -llapacke -lopenblas -lm
IO_LIBS   := -luv -lzmq -lwebsockets -lsqlite3 -linih -lcjson -lsystemd -lpthread $(BLAS_LIBS)

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(1)/*.c))
BASE  := $(BUILD)/lib/libbase.a
CORE  := $(BUILD)/lib/libcore.a
PROTO := $(BUILD)/lib/libproto.a
IO    := $(BUILD)/lib/libio.a
CTL   := $(BUILD)/lib/libctl.a
TESTLIB := $(BUILD)/lib/libtest.a

all: $(BUILD)/richd $(BUILD)/richctl $(BUILD)/librichd.so $(BUILD)/librichd.a $(BUILD)/example

$(BASE): $(call objects,daemon/base)
$(CORE): $(call objects,daemon/core)
$(PROTO): $(call objects,proto)
$(IO): $(call objects,daemon/io) $(BUILD)/obj/page.o
$(TESTLIB): $(call objects,tests/lib)
# metric.o is the one list of measures: constant data, without the rest of the core
$(CTL): $(filter-out %/main.o,$(call objects,client/ctl)) $(BUILD)/obj/daemon/core/metric.o
$(BUILD)/librichd.a: $(call objects,client/c) $(call objects,proto) $(call objects,daemon/base)

$(BASE) $(CORE) $(PROTO) $(IO) $(CTL) $(TESTLIB) $(BUILD)/librichd.a:
	@mkdir -p $(@D)
	$(V)rm -f $@ && ar rcs $@ $^
# Centring and converting are loops over rows; at -O3 gcc makes vectors of them (10-20 % of a fold).
$(BUILD)/obj/daemon/core/%.o: override CFLAGS += $(if $(SANITIZE),,-O3)
# The page is part of the binary.
PAGE := $(shell find client/dashboard -type f)
$(BUILD)/obj/page.c: $(PAGE) daemon/io/http_embed.sh Makefile
	@mkdir -p $(@D)
	$(V)daemon/io/http_embed.sh client/dashboard $@
$(BUILD)/obj/page.o: $(BUILD)/obj/page.c
	$(V)$(CC) $(CFLAGS) -c -o $@ $<
$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(V)$(CC) $(CFLAGS) -c -o $@ $<

$(BUILD)/richd: $(BUILD)/obj/daemon/main.o $(IO) $(CORE) $(PROTO) $(BASE)
	$(V)$(CC) $(LDFLAGS) -o $@ $^ $(IO_LIBS)
$(BUILD)/richctl: $(BUILD)/obj/client/ctl/main.o $(CTL) $(PROTO) $(BASE)
	$(V)$(CC) $(LDFLAGS) -o $@ $^ -lcjson -lm
$(BUILD)/librichd.so: $(call objects,client/c) $(PROTO) $(BASE)
	$(V)$(CC) $(LDFLAGS) -shared -Wl,-soname,librichd.so.0 -o $@ $^ -lzmq -lcjson -lpthread -lm
	@ln -sf librichd.so $@.0

# Linked as a program of others is: it finds what richd.h exports, and nothing else.
$(BUILD)/example: $(BUILD)/obj/client/c/examples/train.o $(BUILD)/librichd.so
	$(V)$(CC) $(LDFLAGS) -o $@ $^ -Wl,-rpath,'$$ORIGIN' -lm

# ---- unit tests: tests/unit/LAYER/test_*.c link that layer and what lies below it, nothing more ---
# Tests of the core can make the n-th malloc fail (tests/lib/fault.h).
FAULTS := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--undefined=__wrap_malloc
UNIT := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/*/test_*.c) $(wildcard tests/sim/test_*.c))
# The thread sanitizer has nothing to see in a test of one thread, and takes ten times as long.
ifeq ($(SANITIZE),thread)
UNIT := $(filter $(addprefix $(BUILD)/tests/unit/,io/% client/% core/test_fold),$(UNIT))
endif
$(BUILD)/tests/unit/base/%:   LIBS = $(TESTLIB) $(BASE) -lcmocka
$(BUILD)/tests/unit/core/%:   LIBS = $(FAULTS) $(TESTLIB) $(CORE) $(BASE) -lcmocka $(BLAS_LIBS)
$(BUILD)/tests/sim/%:         LIBS = $(TESTLIB) $(CORE) $(BASE) -lcmocka $(BLAS_LIBS)
$(BUILD)/tests/unit/proto/%:  LIBS = $(TESTLIB) $(PROTO) $(BASE) -lcmocka -lcjson -lm
$(BUILD)/tests/unit/io/%:     LIBS = $(TESTLIB) $(IO) $(CORE) $(PROTO) $(BASE) -lcmocka $(IO_LIBS)
# The whole daemon, with a trainer of ours, and jobs that find no memory.
$(BUILD)/tests/unit/io/test_loop: LIBS = -Wl,--wrap=work_start $(TESTLIB) $(BUILD)/librichd.a $(IO) $(CORE) $(PROTO) $(BASE) -lcmocka $(IO_LIBS)
$(BUILD)/tests/unit/client/%: LIBS = $(TESTLIB) $(BUILD)/librichd.a -lcmocka -lzmq -lcjson -lpthread -lm
$(BUILD)/tests/unit/ctl/%:    LIBS = $(TESTLIB) $(CTL) $(PROTO) $(BASE) -lcmocka -lcjson -lm
$(UNIT): $(BUILD)/%: $(BUILD)/obj/%.o $(TESTLIB) $(BASE) $(CORE) $(PROTO) $(IO) $(CTL) $(BUILD)/librichd.a
	@mkdir -p $(@D)
	$(V)$(CC) $(LDFLAGS) -o $@ $< $(LIBS)

$(BUILD)/tests/unit/client/test_example: $(BUILD)/example

unit: $(UNIT)
	@for t in $(UNIT); do echo "== $$t"; $$t || exit 1; done

# ---- benchmarks: tests/bench/bench_*.c link everything; run them by hand, in a quiet hour ---------
BENCH := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/bench_*.c))
$(BENCH): $(BUILD)/%: $(BUILD)/obj/%.o $(TESTLIB) $(IO) $(CORE) $(PROTO) $(BASE)
	@mkdir -p $(@D)
	$(V)$(CC) $(LDFLAGS) -o $@ $^ $(IO_LIBS)

bench: $(BENCH)
	@for b in $(BENCH); do echo "== $$b"; $$b || exit 1; done

# ---- tests that drive the real programs, and what is checked without running ----------------------
PYTHON := /usr/bin/python3
PYTEST := PYTHONPATH=client/python/src RICHD_BUILD=$(BUILD) $(PYTHON) -m pytest -q -p no:cacheprovider
export PYTHONDONTWRITEBYTECODE := 1

export TSAN_OPTIONS := suppressions=$(CURDIR)/tests/tsan.supp
e2e: all
	$(PYTEST) tests/e2e tests/ctl
python: all
	$(PYTEST) client/python/tests
	$(PYTEST) tests/examples

# The page in Chromium, one file after the other: they measure.
browser: all tests/browser/node_modules
	@for t in tests/browser/*.test.js; do RICHD_BUILD=$(BUILD) node --test $$t || exit 1; done
tests/browser/node_modules: tests/browser/package-lock.json
	cd $(@D) && npm ci --silent && touch node_modules
# The pictures of client/dashboard/screenshots, from a run that is trained for them (some minutes).
screenshots: all tests/browser/node_modules
	RICHD_BUILD=$(BUILD) node tests/browser/screenshots.js

# One variant, tests and all: `make check`, `make SANITIZE=address check`.
check:
	@$(MAKE) --no-print-directory -j$(shell nproc) all $(UNIT)
	@$(MAKE) --no-print-directory unit e2e

C_FILES := $(shell git ls-files '*.c' 2>/dev/null || find . -name '*.c')
H_FILES := $(shell git ls-files '*.h' 2>/dev/null || find . -name '*.h')

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
LINT_FLAGS := -std=gnu11 -I. -Iinclude -D_GNU_SOURCE -DRICHD_VERSION=\"0\"
lint:
	@printf '%s\0' $(filter-out tests/%,$(C_FILES)) | xargs -0 -n 6 -P $(shell nproc) \
		sh -c 'clang-tidy --quiet "$$@" -- $(LINT_FLAGS) 2>/dev/null' sh && echo "clang-tidy is content"
	@cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr -j $(shell nproc) -I. -Iinclude \
		--enable=warning,portability,performance --suppress=missingIncludeSystem \
		--suppress=constStatement --suppress=funcArgOrderDifferent \
		-D_GNU_SOURCE -DRICHD_VERSION='"0"' $(filter-out tests/%,$(C_FILES)) && echo "cppcheck is content"
	@flake8 --max-line-length=100 --extend-ignore=E203 client/python tests/bench tests/browser && echo "flake8 is content"
	@cd client/python && mypy --cache-dir=/dev/null --no-error-summary && echo "mypy is content"

# Everything, from a bare machine.
test: test-deps tools
	$(MAKE) --no-print-directory DEV=1 -j$(shell nproc) all $(UNIT) $(BENCH)
	$(MAKE) --no-print-directory check-headers format-check lint
	$(MAKE) --no-print-directory DEV=1 check python browser
	$(MAKE) --no-print-directory SANITIZE=address FAULT_STRIDE=97 SIM_SEEDS=150 TRANSITION_SERIES=200 ZWATCH_MESSAGES=200000 check
	$(MAKE) --no-print-directory SANITIZE=thread FAULT_STRIDE=499 ZWATCH_MESSAGES=200000 check

# ---- dependencies: Debian's packages, and of them only those that are missing ---------------------
BUILD_PACKAGES := gcc make pkg-config libc6-dev libuv1-dev libzmq3-dev libwebsockets-dev \
	libwebsockets-evlib-uv libcjson-dev libsqlite3-dev libinih-dev libsystemd-dev libopenblas-dev liblapacke-dev
DEMO_PACKAGES  := python3 python3-numpy python3-zmq python3-torch jq
PAPER_PACKAGES := python3-sklearn python3-matplotlib
TEST_PACKAGES  := libcmocka-dev python3-pytest python3-pyte clang-format clang-tidy cppcheck flake8 mypy \
	socat chromium $(if $(shell command -v node),,nodejs) $(if $(shell command -v npm),,npm)

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
test-deps: paper-deps
	$(call install,$(TEST_PACKAGES))

# Prometheus scrapes us in a test. Its package would start a service, so only its files are taken.
PROMETHEUS := build/tools/usr/bin/prometheus
tools:
	@[ -x $(PROMETHEUS) ] || command -v prometheus >/dev/null && exit 0; \
	echo "fetching prometheus"; mkdir -p build/tools && cd build/tools && \
	apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .

demo: deps
	@$(MAKE) --no-print-directory -j$(shell nproc) all
	@client/demo.sh

# The paper's claims, measured: tables and figures into build/reproduce. REPRODUCE goes to each example.
reproduce: paper-deps
	@$(MAKE) --no-print-directory -j$(shell nproc) all
	@client/reproduce.sh $(REPRODUCE)

# ---- installation --------------------------------------------------------------------------------
PREFIX  ?= /usr/local
DESTDIR ?=
INSTALL := install -D

install: all
	$(INSTALL) $(BUILD)/richd $(DESTDIR)$(PREFIX)/bin/richd
	$(INSTALL) $(BUILD)/richctl $(DESTDIR)$(PREFIX)/bin/richctl
	$(INSTALL) -m 644 include/richd.h $(DESTDIR)$(PREFIX)/include/richd.h
	$(INSTALL) -m 644 $(BUILD)/librichd.a $(DESTDIR)$(PREFIX)/lib/librichd.a
	$(INSTALL) $(BUILD)/librichd.so $(DESTDIR)$(PREFIX)/lib/librichd.so.$(VERSION)
	ln -sf librichd.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/librichd.so.0
	ln -sf librichd.so.0 $(DESTDIR)$(PREFIX)/lib/librichd.so
	$(INSTALL) -m 644 systemd/richd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/richd.conf
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/systemd/user
	sed 's|@BINDIR@|$(PREFIX)/bin|' systemd/richd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/richd.service
	sed 's|@BINDIR@|$(PREFIX)/bin|' systemd/richd.user.service >$(DESTDIR)$(PREFIX)/lib/systemd/user/richd.service

clean:
	rm -rf build

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
.SECONDARY:
.PHONY: all unit bench e2e python browser screenshots check check-headers format format-check lint test deps paper-deps test-deps tools demo reproduce install clean
