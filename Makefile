# richd. `make` builds, `make demo` shows, `make test` proves; reads top to bottom.

VERSION := 0.1.0
V       ?= @

# ---- variants: build/ is the default; sanitizers build beside it ---------------------------------
SANITIZE ?=
BUILD    := build$(if $(SANITIZE),/$(SANITIZE))

PKGS     := libuv libzmq libcjson sqlite3 inih libsystemd lapacke openblas
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
IO_LIBS   := -luv -lzmq -lsqlite3 -linih -lcjson -lsystemd -lpthread $(BLAS_LIBS)

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
$(IO): $(call objects,daemon/io)
$(TESTLIB): $(call objects,tests/lib)
# metric.o is the one list of measures: constant data, without the rest of the core
$(CTL): $(filter-out %/main.o,$(call objects,client/ctl)) $(BUILD)/obj/daemon/core/metric.o
$(BUILD)/librichd.a: $(call objects,client/c) $(call objects,proto) $(call objects,daemon/base)

$(BASE) $(CORE) $(PROTO) $(IO) $(CTL) $(TESTLIB) $(BUILD)/librichd.a:
	@mkdir -p $(@D)
	$(V)rm -f $@ && ar rcs $@ $^
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
FAULTS := -Wl,--wrap=malloc,--wrap=calloc,--undefined=__wrap_malloc
UNIT := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/*/test_*.c) $(wildcard tests/sim/test_*.c))
$(BUILD)/tests/unit/base/%:   LIBS = $(TESTLIB) $(BASE) -lcmocka
$(BUILD)/tests/unit/core/%:   LIBS = $(FAULTS) $(TESTLIB) $(CORE) $(BASE) -lcmocka $(BLAS_LIBS)
$(BUILD)/tests/sim/%:         LIBS = $(TESTLIB) $(CORE) $(BASE) -lcmocka $(BLAS_LIBS)
$(BUILD)/tests/unit/proto/%:  LIBS = $(TESTLIB) $(PROTO) $(BASE) -lcmocka -lcjson -lm
$(BUILD)/tests/unit/io/%:     LIBS = $(TESTLIB) $(IO) $(CORE) $(PROTO) $(BASE) -lcmocka $(IO_LIBS)
$(BUILD)/tests/unit/client/%: LIBS = $(TESTLIB) $(BUILD)/librichd.a -lcmocka -lzmq -lcjson -lpthread -lm
$(BUILD)/tests/unit/ctl/%:    LIBS = $(TESTLIB) $(CTL) $(PROTO) $(BASE) -lcmocka -lcjson -lm
$(UNIT): $(BUILD)/%: $(BUILD)/obj/%.o $(TESTLIB) $(BASE) $(CORE) $(PROTO) $(IO) $(CTL) $(BUILD)/librichd.a
	@mkdir -p $(@D)
	$(V)$(CC) $(LDFLAGS) -o $@ $< $(LIBS)

$(BUILD)/tests/unit/client/test_example: $(BUILD)/example

unit: export TSAN_OPTIONS := suppressions=tests/tsan.supp
unit: $(UNIT)
	@for t in $(UNIT); do echo "== $$t"; $$t || exit 1; done

# ---- benchmarks: tests/bench/bench_*.c link everything; run them by hand, in a quiet hour ---------
BENCH := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/bench_*.c))
$(BENCH): $(BUILD)/%: $(BUILD)/obj/%.o $(TESTLIB) $(IO) $(CORE) $(PROTO) $(BASE)
	@mkdir -p $(@D)
	$(V)$(CC) $(LDFLAGS) -o $@ $^ $(IO_LIBS)

bench: $(BENCH)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
.SECONDARY:
.PHONY: all unit bench
