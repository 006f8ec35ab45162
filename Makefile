# sqlite-kv. `make help` lists the targets.
#
# BUILD=<dir>       where everything built goes (default: build)
# SANITIZE=<flags>  more flags for compiling and linking, such as -fsanitize=thread
# TORTURE=<n>       how many times as long `make torture` takes (default: 1)
# FUZZ_SECONDS=<n>  how long `make fuzz` takes for each target (default: 60)
# BENCH_DIR=<dir>   where benchmarks keep data and figures (default: build/bench)
# BENCH_ROWS, BENCH_VALUE_BYTES, BENCH_RUNS, BENCH_SECONDS  scale them; BENCH_GROWTH=1 adds
#                   10,000,000 rows, and 5 minutes of overwriting
# CC, CFLAGS        as usual
BUILD    ?= build
CFLAGS   ?= -O2 -g
SANITIZE ?=
TORTURE  ?= 1
FUZZ_SECONDS ?= 60
BENCH_DIR ?= $(BUILD)/bench
ifeq ($(origin CC),default)
CC := gcc
endif

STANDARD   := -std=c11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -pthread
WARNINGS   := -Wall -Wextra -Wshadow -Wconversion -Werror
ALL_CFLAGS  = $(STANDARD) $(WARNINGS) $(CFLAGS) $(SANITIZE)
COMPILE     = @echo "  CC $@"; mkdir -p $(@D); $(CC) $(ALL_CFLAGS) -MMD -MP -Icore
CHECK_LIBS  = $(shell pkg-config --libs check 2>/dev/null || echo -lcheck)

CORE_C  := $(wildcard core/*.c)
EXT_C   := $(wildcard ext/*.c)
TEST_C  := $(wildcard tests/test_*.c)
BENCH_C := $(wildcard tests/bench/bench_*.c)
TORTURE_C := $(wildcard tests/torture/*.c)
DIFFERENTIAL_C := $(wildcard tests/differential/*.c)
POWER_C := $(wildcard tests/power/*.c)
SCHEDULE_C := $(wildcard tests/schedules/*.c)
FAULT_C := $(wildcard tests/faults/*.c)
FUZZ_C  := $(filter-out tests/fuzz/target_% tests/fuzz/replay.c tests/fuzz/seed.c,$(wildcard tests/fuzz/*.c))
HELP_C  := $(filter-out tests/test_%,$(wildcard tests/*.c))
# Tests that speak to SQLite are linked with it and with the extension's modules.
SQLITE_TEST_C := $(shell grep -l sqlite3 $(TEST_C) /dev/null)
# For ThreadSanitizer: tests with threads of their own, and with a store's; one in world.h has none.
# (Its run time does not know threads started in forked children, and takes minutes for large segments.)
THREAD_TEST_C := $(filter-out tests/test_fork.c tests/test_backup_processes.c tests/test_ext_host.c, $(shell grep -l pthread_create $(TEST_C) /dev/null; \
                   grep -L 'world\.h\|shared_run\.h' $$(grep -l kv_store_open $(TEST_C) /dev/null) /dev/null | grep test_))

CORE_O  := $(CORE_C:%.c=$(BUILD)/%.o)
YIELD_O := $(SCHEDULE_C:%.c=$(BUILD)/yield/%.o) $(CORE_C:%.c=$(BUILD)/yield/%.o)
SITES_O := $(FAULT_C:%.c=$(BUILD)/%.o) $(CORE_C:%.c=$(BUILD)/sites/%.o)
ifneq ($(findstring -DKV_MUTANTS,$(CFLAGS)),)
CORE_O  += $(BUILD)/tests/mutants/mutant.o
YIELD_O += $(BUILD)/tests/mutants/mutant.o
SITES_O += $(BUILD)/tests/mutants/mutant.o
endif
EXT_O   := $(EXT_C:%.c=$(BUILD)/%.o)
CORE_A  := $(BUILD)/libkv.a
EXT_A   := $(BUILD)/libext.a
HELP_A  := $(BUILD)/libhelp.a
FUZZ_A  := $(BUILD)/libfuzz.a
TESTS   := $(TEST_C:tests/%.c=$(BUILD)/%)
BENCHES := $(BENCH_C:tests/bench/%.c=$(BUILD)/%)
FUZZERS := $(patsubst tests/fuzz/target_%.c,$(BUILD)/fuzz_%,$(wildcard tests/fuzz/target_*.c))
# What KV_TEST_SCALE makes more thorough.
FAULT_TESTS := $(addprefix $(BUILD)/test_,process_deaths store_sweep store_model store_shared overflow repair \
                 ext_memory)
VALGRIND_TESTS := $(addprefix $(BUILD)/test_,record header manifest_file merge memtable log kv_scan plan \
                    arguments)
SQLITE_TESTS := $(SQLITE_TEST_C:tests/%.c=$(BUILD)/%)

# Sanitizers confuse some warnings about sizes, which the plain build has judged.
ASAN = BUILD=$(BUILD)/asan CFLAGS='-O1 -g -Wno-error -fno-omit-frame-pointer' \
       SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all'
TSAN = BUILD=$(BUILD)/tsan CFLAGS='-O1 -g -Wno-error' SANITIZE='-fsanitize=thread'
FUZZ = BUILD=$(BUILD)/fuzz CC=clang CFLAGS='-O1 -g -Wno-error -fno-omit-frame-pointer' FUZZ_MAIN=-fsanitize=fuzzer \
       SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all'
MUTANTS = BUILD=$(BUILD)/mutants CFLAGS='-O1 -g -DKV_MUTANTS'
COVERAGE = BUILD=$(BUILD)/coverage CFLAGS='-O0 -g -Wno-error' SANITIZE='--coverage -DNDEBUG'
# The test drivers read these.
RUN  = BUILD=$(BUILD) CC=$(CC) SANITIZE='$(SANITIZE)' KV_SO=$(abspath $(BUILD)/kv.so) KV_A=$(abspath $(CORE_A)) \
       BENCH_DIR=$(BENCH_DIR)
MAKE_QUIETLY = $(MAKE) --no-print-directory -j2

.PHONY: all
all: kv.so libkv.a ## build kv.so (the extension) and libkv.a (the engine for C programs)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' Makefile | expand -t 18

# ---- Building

# A new file each time: a process that has the old one loaded keeps it.
kv.so: $(BUILD)/kv.so
	@cp --remove-destination $< $@
libkv.a: $(CORE_A)
	@cp --remove-destination $< $@

$(BUILD)/kv.so: $(CORE_O) $(EXT_O)
	@echo "  LD $@"; $(CC) $(ALL_CFLAGS) -shared -Wl,-z,defs -Wl,--as-needed -o $@ $^ -lm
$(CORE_A): $(CORE_O)
$(EXT_A): $(EXT_C:%.c=$(BUILD)/static/%.o)
$(HELP_A): $(HELP_C:%.c=$(BUILD)/%.o)
$(FUZZ_A): $(FUZZ_C:%.c=$(BUILD)/%.o)
$(BUILD)/lib%.a:
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/core/%.o: core/%.c
	$(COMPILE) -c -o $@ $<
$(BUILD)/ext/%.o: ext/%.c
	$(COMPILE) -c -o $@ $<
$(BUILD)/static/ext/%.o: ext/%.c
	$(COMPILE) -DSQLITE_CORE -c -o $@ $<
$(BUILD)/tests/%.o: tests/%.c
	$(COMPILE) -DSQLITE_CORE -Iext -Itests -c -o $@ $<

$(SQLITE_TESTS): $(EXT_A)
$(SQLITE_TESTS): SQLITE_LINK = $(EXT_A) $(CORE_A) -lsqlite3 -lm -ldl
# In these, memory runs out (tests/scarcity.h).
$(addprefix $(BUILD)/test_,flood memory ext_memory): WRAP = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
$(BUILD)/test_%: $(BUILD)/tests/test_%.o $(HELP_A) $(CORE_A)
	@echo "  LD $@"; $(CC) $(ALL_CFLAGS) $(WRAP) -o $@ $< $(HELP_A) $(SQLITE_LINK) $(CORE_A) $(CHECK_LIBS)
$(BUILD)/torture: $(TORTURE_C:%.c=$(BUILD)/%.o) $(EXT_A) $(CORE_A)
	@echo "  LD $@"; $(CC) $(ALL_CFLAGS) -o $@ $^ -lsqlite3 -lm -ldl
$(BUILD)/differential: $(DIFFERENTIAL_C:%.c=$(BUILD)/%.o) $(EXT_A) $(CORE_A)
	@echo "  LD $@"; $(CC) $(ALL_CFLAGS) -o $@ $^ -lsqlite3 -lm -ldl
$(BUILD)/power: $(POWER_C:%.c=$(BUILD)/%.o) $(HELP_A) $(CORE_A)
	@echo "  LD $@"; $(CC) $(ALL_CFLAGS) -o $@ $^ $(CORE_A) $(CHECK_LIBS)
# Each target with a main that replays files, or, with FUZZ_MAIN, libFuzzer's. All files are in memory.
FUZZ_MAIN = $(BUILD)/tests/fuzz/replay.o
FUZZ_LINK = $(FUZZ_A) $(EXT_A) $(HELP_A) $(CORE_A) $(FUZZ_A) -Wl,--wrap=kv_io_posix -lsqlite3 -lm -ldl
$(FUZZERS) $(BUILD)/fuzz_seed: $(FUZZ_A) $(EXT_A) $(HELP_A) $(CORE_A)
$(BUILD)/fuzz_seed: $(BUILD)/tests/fuzz/seed.o
	@echo "  LD $@"; $(CC) $(ALL_CFLAGS) -o $@ $< $(FUZZ_LINK)
$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/target_%.o $(BUILD)/tests/fuzz/replay.o
	@echo "  LD $@"; $(CC) $(ALL_CFLAGS) -o $@ $< $(FUZZ_MAIN) $(FUZZ_LINK)
# The engine once more, with a seam at each access to what processes share.
$(BUILD)/yield/%.o: %.c
	$(COMPILE) -DKV_YIELD -Itests -c -o $@ $<
$(BUILD)/schedules: $(YIELD_O) $(HELP_A)
	@echo "  LD $@"; $(CC) $(ALL_CFLAGS) -o $@ $^
# And once more, with a seam at each call of io.h.
$(BUILD)/sites/%.o: %.c
	$(COMPILE) -Itests -include tests/faults/sites.h -c -o $@ $<
$(BUILD)/faults: $(SITES_O) $(HELP_A)
	@echo "  LD $@"; $(CC) $(ALL_CFLAGS) -o $@ $^ $(CHECK_LIBS)
BENCH_O := $(addprefix $(BUILD)/tests/bench/,common.o contest.o session.o)
$(BUILD)/bench_%: $(BUILD)/tests/bench/bench_%.o $(BENCH_O) $(CORE_A)
	@echo "  LD $@"; $(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) $(CORE_A) -Wl,--as-needed -lsqlite3 -lm $(PEER_LIBS)
# Other stores to measure beside: those whose headers are there.
PEERS := $(patsubst /usr/include/%,%,$(wildcard /usr/include/lmdb.h /usr/include/leveldb/c.h /usr/include/rocksdb/c.h))
PEERS := $(patsubst %.h,%,$(PEERS:%/c.h=%))
$(BUILD)/bench_engine: PEER_LIBS = $(PEERS:%=-l%)
$(BUILD)/bench_instructions: PEER_LIBS = -Wl,--wrap=kv_io_posix $(EXT_A) $(CORE_A)
$(BUILD)/bench_instructions: $(EXT_A)
$(BUILD)/bench_engine: $(BUILD)/tests/bench/peer_kv.o $(PEERS:%=$(BUILD)/tests/bench/peer_%.o)

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- Using

.PHONY: demo
demo: ## load Unicode's character table into a kv table and look around
	@.ci/install build demo
	@$(MAKE_QUIETLY) $(BUILD)/kv.so
	@$(RUN) sql/demo/run.sh

.PHONY: install-deps
install-deps: ## install every package that any target needs, where missing
	@.ci/install build check hosts demo lint coverage valgrind bench fuzz

# ---- Proving

.PHONY: unit
unit: $(TESTS)
	@$(RUN) tests/run.sh $(TESTS)

.PHONY: check
check: ## build and run all tests; installs what is missing first
	@.ci/install build check
	@$(MAKE_QUIETLY) kv.so libkv.a $(TESTS) $(BENCHES) $(BUILD)/torture $(BUILD)/differential \
	    $(BUILD)/power $(BUILD)/schedules $(BUILD)/faults $(FUZZERS)
	@$(RUN) tests/run.sh $(TESTS) tests/run_faults.sh tests/run_sql.sh tests/run_readme.sh tests/run_bench.sh \
	    tests/run_torture.sh tests/run_differential.sh tests/run_power.sh \
	    tests/run_schedules.sh tests/run_fuzz.sh tests/lint.sh

# Called in sanitized build directories; SHELL_PRELOAD goes into the sqlite3 shell.
.PHONY: check-sanitized
check-sanitized: $(BUILD)/kv.so $(TESTS) $(BENCHES) $(BUILD)/torture $(BUILD)/differential $(BUILD)/power \
    $(BUILD)/schedules $(BUILD)/faults $(FUZZERS)
	@KILLS=50 STATEMENTS=20000 SEED=1000 STATES=5000 VISITS=1 SCHEDULES='--preemptions 1 --share 0' \
	    $(RUN) tests/run.sh $(TESTS) tests/run_faults.sh tests/run_sql.sh tests/run_readme.sh \
	    tests/run_torture.sh tests/run_differential.sh tests/run_power.sh tests/run_schedules.sh tests/run_fuzz.sh

.PHONY: check-asan
check-asan: ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@.ci/install build check
	@SHELL_PRELOAD=$$($(CC) -print-file-name=libasan.so) CK_TIMEOUT_MULTIPLIER=5 \
	    $(MAKE_QUIETLY) $(ASAN) check-sanitized

.PHONY: check-threads
check-threads: $(TESTS) $(BUILD)/bench_latency
	@mkdir -p $(BENCH_DIR)
	@$(RUN) BENCH_ROWS=50000 BENCH_RUNS=1 tests/run.sh $(TESTS) $(BUILD)/bench_latency

.PHONY: check-tsan
check-tsan: ## the tests with threads under ThreadSanitizer
	@.ci/install build check
	@CK_TIMEOUT_MULTIPLIER=10 $(MAKE_QUIETLY) $(TSAN) TEST_C='$(sort $(THREAD_TEST_C))' check-threads

.PHONY: torture
torture: ## the long versions of what has one (TORTURE=2 … for longer ones)
	@.ci/install build check
	@$(MAKE_QUIETLY) $(BUILD)/kv.so $(BUILD)/torture $(BUILD)/differential $(BUILD)/power \
	    $(BUILD)/schedules $(BUILD)/faults $(FAULT_TESTS)
	@SCHEDULES=--full VISITS=1000000 KILLS=$$((3000 * $(TORTURE))) STATEMENTS=$$((5000000 * $(TORTURE))) SEED=$$(date +%s)000000 \
	    STATES=$$((1000000 * $(TORTURE))) \
	    KV_TEST_SCALE=$$((5 * $(TORTURE))) CK_DEFAULT_TIMEOUT=600 \
	    PROGRAM_TIMEOUT=$$((3600 * $(TORTURE))) $(RUN) tests/run.sh tests/run_torture.sh \
	    tests/run_differential.sh tests/run_power.sh tests/run_schedules.sh tests/run_faults.sh $(FAULT_TESTS)
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=$$((300 * $(TORTURE)))

.PHONY: fuzz
fuzz: ## libFuzzer on everything that parses, FUZZ_SECONDS (60) for each target
	@.ci/install build check fuzz
	@$(MAKE_QUIETLY) $(FUZZ) fuzzers
	@FUZZERS=$(BUILD)/fuzz FUZZ_SECONDS=$(FUZZ_SECONDS) PROGRAM_TIMEOUT=$$((12 * $(FUZZ_SECONDS) + 600)) \
	    $(RUN) tests/run.sh tests/run_fuzz.sh

# Called in the fuzzers' build directory.
.PHONY: fuzzers
fuzzers: $(FUZZERS)

.PHONY: mutants
mutants: ## make deliberate mistakes in the engine, and see that each is noticed
	@.ci/install build check
	@$(MAKE_QUIETLY) $(MUTANTS) test-the-tests

# Called in the mutants' build directory.
.PHONY: test-the-tests
test-the-tests: $(filter-out $(SQLITE_TESTS),$(TESTS)) $(BUILD)/power $(BUILD)/schedules
	@$(RUN) tests/mutants/run.sh

.PHONY: check-hosts
check-hosts: ## one suite through every language that carries SQLite, old and new
	@.ci/install build check hosts || echo "going on with the hosts that are there"
	@$(MAKE_QUIETLY) $(BUILD)/kv.so
	@$(RUN) tests/hosts/run.sh

.PHONY: check-valgrind
check-valgrind: ## some tests of each layer, and SQL scripts, under valgrind
	@.ci/install build check valgrind
	@$(MAKE_QUIETLY) $(BUILD)/kv.so $(VALGRIND_TESTS)
	@$(RUN) tests/run_valgrind.sh $(VALGRIND_TESTS)

.PHONY: lint
lint: $(BUILD)/kv.so ## format, layers, system calls, lengths
	@.ci/install build lint
	@$(RUN) tests/lint.sh

.PHONY: coverage
coverage: ## lines and branches that the tests reach (gcovr)
	@.ci/install build check coverage
	@$(MAKE_QUIETLY) $(COVERAGE) check-sanitized
# What is built for schedules has other functions in the place of some.
	@gcovr --root . --filter core/ --filter ext/ --exclude-throw-branches \
	    --exclude-directories '.*/yield' --object-directory $(BUILD)/coverage --txt --print-summary

.PHONY: bench
bench: ## measure beside an ordinary table and other stores (BENCH_ROWS, BENCH_RUNS, BENCH_GROWTH=1 …)
	@.ci/install build bench
	@$(MAKE_QUIETLY) $(BUILD)/kv.so $(BENCHES)
	@mkdir -p $(BENCH_DIR)
	@for program in engine open cold latency growth steady ycsb sql flooding; do \
	    $(RUN) $(BUILD)/bench_$$program || exit 1; done
	@gnuplot -e "directory='$(BENCH_DIR)'" tests/bench/plot.gnuplot

.PHONY: bench-instructions
bench-instructions: ## count the instructions of each operation (valgrind); a regression shows in `git diff`
	@.ci/install build valgrind
	@$(MAKE_QUIETLY) $(BUILD)/bench_instructions
	@$(RUN) tests/bench/instructions.sh tests/bench/instructions.txt

.PHONY: bench-deps
bench-deps: ## install LMDB, LevelDB and RocksDB, for `make bench` to measure beside
	@.ci/install bench peers

.PHONY: bench-check
bench-check: ## compare the last `make bench` with its goals
	@ls $(BENCH_DIR)/bench_*.json >/dev/null 2>&1 || { echo "nothing measured: run make bench first" >&2; exit 1; }
	@awk -f tests/bench/check.awk tests/bench/goals.txt $(BENCH_DIR)/bench_*.json

.PHONY: format
format: ## clang-format all C files
	@.ci/install lint
	clang-format -i $$(git ls-files '*.c' '*.h')

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD) kv.so libkv.a
