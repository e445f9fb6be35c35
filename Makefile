# Haywain: make, make check, make demo, make bench, make install. HACKING.md tells the rest.
include config.mk
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

B        := build/$(FLAVOUR)
Q         = $(if $(V),,@echo "  $(@:build/%=%)";)
VERSION  := $(shell cat VERSION)
PLUGINS  := $(sort $(patsubst plugins/%/,%,$(dir $(wildcard plugins/*/*.c))))

warnings := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wold-style-definition
# A cast that only some processors mind; clang minds it by itself. Clang also proves who holds which lock: base/mutex.h.
warnings += $(if $(findstring clang,$(CC)),-Wcast-align -Wthread-safety -Wno-thread-safety-precise,-Wcast-align=strict)
ifeq ($(DEV),1)
warnings += -Werror
endif
hardening := -fstack-protector-strong -fstack-clash-protection -fPIC -fvisibility=hidden
# The sanitizers have checks of their own, and without optimizing there is nothing to fortify.
ifeq ($(FLAVOUR)$(findstring -O0,$(CFLAGS)),plain)
hardening += $(if $(findstring -O,$(CFLAGS)),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif
sanitize_plain :=
sanitize_asan  := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
sanitize_tsan  := -fsanitize=thread -fno-omit-frame-pointer
sanitize_fuzz  := -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined
sanitize := $(sanitize_$(FLAVOUR))

# What compiles says by name which library is missing; the other goals install, or need none.
needs_none := deps clean check demo bench mutants fuzz tidy format format-check check-layers dist deb deb-cross acceptance vm-% install-dev
ifneq ($(filter-out $(needs_none),$(or $(MAKECMDGOALS),all)),)
needed  := $(sort $(PKGS) $(PKGS_cli) $(foreach p,$(PLUGINS),$(PKGS_$p)) $(if $(filter tests,$(MAKECMDGOALS)),cmocka))
missing := $(shell command -v $(PKG_CONFIG) >/dev/null 2>&1 || echo pkg-config; \
             for p in $(needed); do $(PKG_CONFIG) --exists $$p 2>/dev/null || echo $$p; done)
$(if $(missing),$(error missing, by their names for pkg-config: $(missing). `make deps` installs what building and testing need))
endif
pkg_cflags := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
pkg_libs    = $(shell $(PKG_CONFIG) --libs $(PKGS)) -lm -pthread

# One's own plugins go before those of the package.
plugin_dirs = /usr/local/lib/haywain/plugins$(if $(filter-out /usr/local/lib,$(LIBDIR)),:$(LIBDIR)/haywain/plugins)
all_cflags = -std=gnu17 $(warnings) $(hardening) $(sanitize) -D_GNU_SOURCE -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64 \
             -DHAYWAIN_VERSION='"$(VERSION)"' -DHAYWAIN_PLUGIN_DIRS='"$(plugin_dirs)"' \
             -DHAYWAIN_SBIN_DIR='"$(SBINDIR)"' -DHAYWAIN_API_SOCKET='"/run/haywain/api.sock"' -DHAYWAIN_EXAMPLE='"etc/haywain.conf"' \
             -DHAYWAIN_DATA_DIR='"$(DATADIR)/haywain"' -DHAYWAIN_SYSCONF_DIR='"$(SYSCONFDIR)/haywain"' \
             -Iinclude -Isrc $(pkg_cflags) $(CPPFLAGS) $(CFLAGS)
all_ldflags = -Wl,-z,relro,-z,now -Wl,--as-needed $(sanitize) $(LDFLAGS)

# A battery clock that shows less than this has lost its battery.
$B/src/system/timesync.o: CPPFLAGS += -DHAYWAIN_BUILD_TIME=$(or $(SOURCE_DATE_EPOCH),$(shell stat -c %Y VERSION))

lib_sources  := $(filter-out src/main.c,$(wildcard src/*.c src/base/*.c src/field/*.c src/normalize/*.c src/queue/*.c \
                src/upstream/*.c src/upstream/dialects/*.c src/model/*.c src/storage/*.c src/api/*.c src/system/*.c src/builtin/*.c src/helpers/*.c))
lib_objects  := $(lib_sources:%.c=$B/%.o)
unit_tests   := $(patsubst %.c,$B/%,$(wildcard tests/unit/test_*.c))
plugin_tests := $(patsubst %.c,$B/%,$(wildcard tests/plugin/*/test_*.c))
plugin_files := $(PLUGINS:%=$B/plugins/%.so)

all: $B/haywaind $B/haywain plugins
plugins: $(plugin_files)

# What is compiled in is part of what objects depend on: another PREFIX, other flags or another compiler build anew.
stamp := $B/flags
$(shell mkdir -p $B; echo '$(subst ','"'"',$(CC) $(all_cflags))' | cmp -s - $(stamp) || \
  echo '$(subst ','"'"',$(CC) $(all_cflags))' >$(stamp))

$B/%.o: %.c $(MAKEFILE_LIST) VERSION $(stamp)
	@mkdir -p $(@D)
	$Q$(CC) $(all_cflags) $(if $(filter plugins/%,$<),$(call plugin_cflags,$<)) -MMD -MP -c -o $@ $<

$B/libhaywain.a: $(lib_objects)
	@rm -f $@
	$Q$(AR) rcs $@ $^

# What plugins are linked with, here and elsewhere: include/haywain/helpers.h.
helper_objects := $(patsubst %.c,$B/%.o,$(wildcard src/helpers/*.c))
$B/libhaywain-plugin.a: $(helper_objects)
	@rm -f $@
	$Q$(AR) rcs $@ $^

$B/haywaind: $B/src/main.o $B/libhaywain.a
	$Q$(CC) $(all_ldflags) -pie -o $@ $^ $(pkg_libs) -ldl

# The tool takes of the library what it uses: base.
cli_objects := $(patsubst %.c,$B/%.o,$(wildcard src/cli/*.c))
$(cli_objects): pkg_cflags += $(shell $(PKG_CONFIG) --cflags $(PKGS_cli) 2>/dev/null)
$B/src/cli/local.o: etc/haywain.conf
$B/haywain: $(cli_objects) $B/libhaywain.a
	$Q$(CC) $(all_ldflags) -pie -o $@ $^ $(shell $(PKG_CONFIG) --libs $(PKGS_cli)) -lm -pthread

# A plugin is all the C files of its folder and the libraries of PKGS_name.
plugin_of      = $(word 2,$(subst /, ,$1))
plugin_cflags  = $(if $(PKGS_$(call plugin_of,$1)),$(shell $(PKG_CONFIG) --cflags $(PKGS_$(call plugin_of,$1))))
plugin_libs    = $(if $(PKGS_$1),$(shell $(PKG_CONFIG) --libs $(PKGS_$1)))
plugin_objects = $(patsubst %.c,$B/%.o,$(wildcard plugins/$1/*.c))
define plugin_rule
$B/plugins/$1.so: $(call plugin_objects,$1) $B/libhaywain-plugin.a
	$$Q$$(CC) $$(all_ldflags) -shared -o $$@ $$^ $$(call plugin_libs,$1) -lm
endef
$(foreach plugin,$(PLUGINS),$(eval $(call plugin_rule,$(plugin))))

# ---- tests: HACKING.md ----
$B/tests/unit/%: $B/tests/unit/%.o $B/libhaywain.a
	$Q$(CC) $(all_ldflags) -o $@ $(filter %.o,$^) $B/libhaywain.a $(pkg_libs) $(shell $(PKG_CONFIG) --libs cmocka) -ldl

$B/tests/unit/test_uplink_double: $B/tests/unit/double_dialect.o

fake_host := $(patsubst %.c,$B/%.o,$(wildcard tests/plugin/*.c))
define plugin_test_rule
$B/tests/plugin/$1/%: $B/tests/plugin/$1/%.o $(fake_host) $(call plugin_objects,$1) $B/libhaywain.a
	$$Q$$(CC) $$(all_ldflags) -o $$@ $$^ $$(call plugin_libs,$1) $$(pkg_libs) $$(shell $$(PKG_CONFIG) --libs cmocka)
endef
$(foreach plugin,$(PLUGINS),$(eval $(call plugin_test_rule,$(plugin))))

tests: $(unit_tests) $(plugin_tests)

# A fuzz target is tests/fuzz/fuzz_NAME.c, or tests/fuzz/PLUGIN/fuzz_NAME.c for a plugin's decoders. FLAVOUR=fuzz
# (with clang) makes fuzzers of them; any other flavour makes programs that replay the inputs they are given.
fuzz_targets := $(patsubst %.c,$B/%,$(wildcard tests/fuzz/fuzz_*.c tests/fuzz/*/fuzz_*.c))
fuzz_flag    := $(if $(filter fuzz,$(FLAVOUR)),-fsanitize=fuzzer)
fuzz_replay  := $(if $(filter fuzz,$(FLAVOUR)),,$B/tests/fuzz/replay.o)
fuzz-targets: $(fuzz_targets)

.SECONDEXPANSION:
$B/tests/fuzz/%: $B/tests/fuzz/%.o $(fuzz_replay) \
		$$(if $$(filter-out .,$$(*D)),$$(call plugin_objects,$$(*D))) $B/libhaywain.a
	$Q$(CC) $(all_ldflags) $(fuzz_flag) -o $@ $^ $(if $(filter-out .,$(*D)),$(call plugin_libs,$(*D))) $(pkg_libs) -ldl

# Programs that torment the queue and the uplinks; the boots of their gateways are of their making.
torture_programs := $B/tests/torture/corruption $B/tests/torture/model $B/tests/torture/dialect
torture-programs: $(torture_programs)
torture_parts = $(patsubst %,$B/tests/torture/%.o,$1 torture)
$B/tests/torture/corruption: $(call torture_parts,corruption account spoil stock)
$B/tests/torture/model: $(call torture_parts,model faults ledger)
$B/tests/torture/dialect: $(call torture_parts,dialect dialect_account dialect_wire dialect_relay dialect_life) $B/tests/unit/double_dialect.o
$(torture_programs): $B/libhaywain.a
	$Q$(CC) $(all_ldflags) -Wl,--wrap=clock_boot_id -o $@ $(filter-out %.a,$^) $B/libhaywain.a $(pkg_libs) -ldl

# ---- the programs of the bench: tests/bench/run.py ----
bench_programs := $(patsubst %.c,$B/%,$(wildcard tests/bench/*.c))
bench-programs: $(bench_programs)
$(bench_programs:%=%.o): pkg_cflags += $(shell $(PKG_CONFIG) --cflags libmodbus 2>/dev/null)
$B/tests/bench/%: $B/tests/bench/%.o
	$Q$(CC) $(all_ldflags) -o $@ $^ $(shell $(PKG_CONFIG) --libs libmodbus libmosquitto) -pthread

# ---- for people ----
PYTHON       ?= /usr/bin/python3
FUZZ_SECONDS ?= 60
sources       = $(wildcard src/*.[ch] src/*/*.[ch] src/*/*/*.[ch] include/haywain/*.h plugins/*/*.[ch] \
                tests/*/*.[ch] tests/*/*/*.[ch])

deps:
	@tests/deps check
dist:
	@packaging/dist

# It installs what is missing (make deps) and says so.
check: deps
	@tests/words
	@$(PYTHON) tests/run

demo:
	@tests/deps demo
	@$(MAKE) --no-print-directory -s all
	@HAYWAIN_BUILD=$B $(PYTHON) demo/run.py $(if $(SECONDS),--seconds $(SECONDS))

bench:
	@tests/deps bench
	@$(MAKE) --no-print-directory -s all bench-programs
	@HAYWAIN_BUILD=$B $(PYTHON) tests/bench/run.py $(if $(QUICK),--quick)

# A queue's files spoilt in N ways: tests/torture/corruption.c. SEED=n begins elsewhere.
corruption: torture-programs
	@$B/tests/torture/corruption $(if $(N),-n $(N)) $(if $(SEED),-s $(SEED))
# N cut connections and K kills of a gateway whose dialects want everything: tests/torture/dialect.c. SEED=n: others.
dialect: torture-programs
	@$B/tests/torture/dialect $(if $(N),-n $(N)) $(if $(K),-k $(K)) $(if $(SEED),-s $(SEED))
# N gateways and their lives: tests/torture/model.c. SEED=n shows one, with all that its queue says.
model: torture-programs
	@$B/tests/torture/model $(if $(N),-n $(N)) $(if $(SEED),-v -n 1 -s $(SEED))

# Each small change of tests/mutants has to be noticed by the test that it names; NAME= those whose name it is in.
mutants: deps
	@$(PYTHON) tests/mutants/run $(NAME)

fuzz:
	@tests/deps static
	@tests/fuzz/run $(FUZZ_SECONDS)

tidy:
	@tests/deps static
	@printf '%s\n' $(filter src/%.c plugins/%.c,$(sources)) | xargs -P "$$(nproc)" -n 4 sh -c \
		'clang-tidy --quiet "$$@" -- $(filter-out -W% -fstack% -D%,$(all_cflags)) $(foreach p,$(PLUGINS),$(if $(PKGS_$p),$(shell $(PKG_CONFIG) --cflags $(PKGS_$p) 2>/dev/null))) $(tidy_defines) 2>/dev/null' tidy
tidy_defines = -D_GNU_SOURCE -DHAYWAIN_BUILD_TIME=0 -DHAYWAIN_VERSION=\"$(VERSION)\" -DHAYWAIN_PLUGIN_DIRS=\"/\" -DHAYWAIN_DATA_DIR=\"/\" \
               -DHAYWAIN_SYSCONF_DIR=\"/\" -DHAYWAIN_SBIN_DIR=\"/\" -DHAYWAIN_API_SOCKET=\"/\" -DHAYWAIN_EXAMPLE=\"etc/haywain.conf\"

format:
	@clang-format -i $(sources)
format-check:
	@clang-format --dry-run --Werror $(sources)
check-layers:
	@tests/layers
	@tests/words

# ---- installing: DESTDIR and the names of config.mk ----
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) $(DESTDIR)$(LIBDIR)/haywain/plugins
	install -m 755 $B/haywaind $(DESTDIR)$(SBINDIR)/
	install -m 755 $B/haywain $(DESTDIR)$(BINDIR)/
	install -m 644 $(plugin_files) $(DESTDIR)$(LIBDIR)/haywain/plugins/
	$(call install_files,$(wildcard models/*.conf),$(DATADIR)/haywain/models)
	$(call install_files,$(wildcard man/*.1),$(MANDIR)/man1)
	$(MAKE) --no-print-directory install-dev
	$(call install_files,$(wildcard man/*.5),$(MANDIR)/man5)
	$(call install_files,$(wildcard man/*.7),$(MANDIR)/man7)
	$(call install_files,$(wildcard man/*.8),$(MANDIR)/man8)
	$(call install_files,LICENSE docs/openapi.yaml,$(DATADIR)/doc/haywain)
	for page in README.md CHANGELOG.md HACKING.md CONTRIBUTING.md SECURITY.md docs/*.md; do $(call install_page,$$page,$${page##*/}) || exit 1; done
	$(call install_page,packaging/README.md,packaging.md)
	$(call install_files,$(wildcard etc/haywain.conf docs/examples/*.conf),$(DATADIR)/doc/haywain/examples)
	$(call install_files,$(wildcard docs/examples/micropython/*.py),$(DATADIR)/doc/haywain/examples/micropython)
	$(call install_files,$(wildcard docs/examples/arduino/*.ino),$(DATADIR)/doc/haywain/examples/arduino)
	$(call install_files,$(wildcard packaging/bash-completion/*),$(DATADIR)/bash-completion/completions)
	ln -sf haywain $(DESTDIR)$(DATADIR)/bash-completion/completions/haywaind
	install -d $(DESTDIR)$(SYSCONFDIR)/haywain/conf.d $(DESTDIR)$(UNITDIR)
	install -m 644 etc/conf.d/README $(DESTDIR)$(SYSCONFDIR)/haywain/conf.d/
	test -e $(DESTDIR)$(SYSCONFDIR)/haywain/haywain.conf || \
		install -m 640 etc/haywain.conf $(DESTDIR)$(SYSCONFDIR)/haywain/
	sed 's|@SBINDIR@|$(SBINDIR)|; s|@BINDIR@|$(BINDIR)|' systemd/haywain.service.in >$(DESTDIR)$(UNITDIR)/haywain.service
	chmod 644 $(DESTDIR)$(UNITDIR)/haywain.service
	$(call install_as,systemd/sysusers.conf,$(LIBDIR)/sysusers.d/haywain.conf)
	$(call install_as,systemd/tmpfiles.conf,$(LIBDIR)/tmpfiles.d/haywain.conf)
	$(call install_as,systemd/modules-load.conf,$(LIBDIR)/modules-load.d/haywain.conf)
	$(call install_as,systemd/udev.rules,$(LIBDIR)/udev/rules.d/90-haywain.rules)
# What authors of plugins need.
install-dev: $B/libhaywain-plugin.a
	$(call install_files,$B/libhaywain-plugin.a,$(LIBDIR)/haywain)
	$(call install_files,$(wildcard include/haywain/*.h),$(INCLUDEDIR)/haywain)
	$(call install_files,$(wildcard man/*.3),$(MANDIR)/man3)
	$(call install_files,$(wildcard docs/examples/plugin/*) plugins/sim/sim.c,$(DATADIR)/doc/haywain-dev/examples)
	install -d $(DESTDIR)$(DATADIR)/pkgconfig
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
		packaging/haywain.pc.in >$(DESTDIR)$(DATADIR)/pkgconfig/haywain.pc
	chmod 644 $(DESTDIR)$(DATADIR)/pkgconfig/haywain.pc
# A page and its name there: all pages lie in one folder, and what they link to lies elsewhere than in the tree.
install_page = sed -e 's|](docs/|](|g' -e 's|](\.\./packaging/README.md|](packaging.md|g' -e 's|](etc/|](examples/|g' \
	-e 's|](include/|]($(INCLUDEDIR)/|g' -e 's|](plugins/sim/|](/usr/share/doc/haywain-dev/examples/|g' $1 >$(DESTDIR)$(DATADIR)/doc/haywain/$2 && \
	chmod 644 $(DESTDIR)$(DATADIR)/doc/haywain/$2
# files, folder
install_files = $(if $1,install -d $(DESTDIR)$2 && install -m 644 $1 $(DESTDIR)$2/)
# file, where to and under which name
install_as = install -D -m 644 $1 $(DESTDIR)$2

# ---- the package: packaging/README.md ----
deb:
	@tests/deps deb
	@packaging/deb
deb-cross:
	@tests/deps cross
	@packaging/deb-cross $(RELEASES)
# The package's life on a real systemd: this release's, or that of RELEASE, for which make deb-cross has made one.
acceptance: $(if $(RELEASE),,deb)
	@tests/deps acceptance
	@RELEASE=$(RELEASE) tests/acceptance/run
# In a qemu machine: its power is cut, its plugs are pulled. As root, minutes each.
vm-powercut vm-hotplug vm-ble: deb
	@tests/deps vm
	@$(PYTHON) tests/vm/$(@:vm-%=%).py $(ROUNDS)

clean:
	rm -rf build

-include $(shell find $B -name '*.d' 2>/dev/null)
.PHONY: all plugins tests fuzz-targets torture-programs bench-programs deps dist check demo bench corruption dialect model fuzz mutants tidy \
        format format-check check-layers install deb deb-cross acceptance vm-powercut vm-hotplug vm-ble clean
.SECONDARY:
