# pgweir: `make` builds, `make check` tests, `make demo` shows. Everything that depends on the machine comes from config.mk.
NEEDS_NOTHING := deps clean distclean help
ifneq ($(filter-out $(NEEDS_NOTHING),$(or $(MAKECMDGOALS),all)),)
-include config.mk
endif

# VARIANT builds the same sources with other flags into a folder of its own: asan, tsan, fuzz
VARIANT ?= plain
OBJ := build/$(VARIANT)
OPT_plain := -O2
OPT_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan := -O1 -fsanitize=thread -fno-omit-frame-pointer
OPT_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wpointer-arith \
	-Wwrite-strings -Wundef -Wvla -Wformat=2 -Wswitch-enum -Werror
CPPFLAGS_ALL := -Isrc -D_GNU_SOURCE -DPGWEIR_VERSION='"$(VERSION)"' $(CPPFLAGS)
CFLAGS_ALL = -std=c11 -g $(OPT_$(VARIANT)) $(WARN) -pthread $(EVENT_CFLAGS) $(SSL_CFLAGS) $(PQ_CFLAGS) \
	$(IDN_CFLAGS) $(CFLAGS)
LIBS_ALL = $(EVENT_LIBS) $(SSL_LIBS) $(PQ_LIBS) $(IDN_LIBS) -pthread

LAYERS := base wire stats config net auth state pool session front admin core
LIB_SRC := $(foreach l,$(LAYERS),$(sort $(wildcard src/$(l)/*.c)))
STORM_SRC := $(sort $(wildcard src/storm/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(OBJ)/%.o)
STORM_OBJ := $(STORM_SRC:%.c=$(OBJ)/%.o)
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BIN := $(UNIT_SRC:%.c=$(OBJ)/%)
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BIN := $(FUZZ_SRC:%.c=$(OBJ)/%)

ifeq ($(VARIANT),plain)
BIN :=
else
BIN := $(OBJ)/
endif

all: $(BIN)pgweir $(BIN)pgweir-storm

$(BIN)pgweir: $(OBJ)/src/main.o $(OBJ)/libpgweir.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(LIBS_ALL)

$(BIN)pgweir-storm: $(STORM_OBJ) $(OBJ)/libpgweir.a
	$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(LIBS_ALL)

$(OBJ)/libpgweir.a: $(LIB_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(OBJ)/%.o: %.c config.mk Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(UNIT_BIN): $(OBJ)/%: %.c $(OBJ)/libpgweir.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(CHECK_CFLAGS) -Itests/unit -MMD -MP $(LDFLAGS) -o $@ $< $(OBJ)/libpgweir.a $(CHECK_LIBS) $(LIBS_ALL)

# Storm's own tests need its parts, too; private: not for what the tests are made from
STORM_PARTS := $(filter-out %/main.o,$(STORM_OBJ))
STORM_TEST_BIN := $(filter $(OBJ)/tests/unit/test_storm_% $(OBJ)/tests/fuzz/fuzz_storm_%,$(UNIT_BIN) $(FUZZ_BIN))
$(STORM_TEST_BIN): $(STORM_PARTS)
$(STORM_TEST_BIN): private override LDFLAGS += $(STORM_PARTS)

$(FUZZ_BIN): $(OBJ)/%: %.c $(OBJ)/libpgweir.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -fsanitize=fuzzer $(LDFLAGS) -o $@ $< $(OBJ)/libpgweir.a $(LIBS_ALL)

unit: $(UNIT_BIN)
	@for t in $(UNIT_BIN); do $$t || exit 1; done

config.mk: configure config.mk.in
	./configure
configure: configure.ac
	autoconf

clean:
	rm -rf build pgweir pgweir-storm
distclean: clean
	rm -rf config.mk configure config.log config.status autom4te.cache

-include $(shell find build -name '*.d' 2>/dev/null)
.PHONY: all unit clean distclean deps
.SECONDARY:
