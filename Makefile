# sqlite-kv. `make help` lists the targets.
CC       ?= gcc
CFLAGS   ?= -O2 -g
WARNINGS  = -Wall -Wextra -Wshadow -Wconversion -Werror
STANDARD  = -std=c11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -pthread
BUILD    ?= build
SANITIZE ?=
ALL_CFLAGS = $(STANDARD) $(WARNINGS) $(CFLAGS) $(SANITIZE) -MMD -MP

CORE_C  := $(wildcard core/*.c)
EXT_C   := $(wildcard ext/*.c)
TEST_C  := $(wildcard tests/test_*.c)
HELP_C  := $(filter-out $(TEST_C),$(wildcard tests/*.c))
CORE_O  := $(CORE_C:%.c=$(BUILD)/%.o)
EXT_O   := $(EXT_C:%.c=$(BUILD)/%.o)
HELP_O  := $(HELP_C:%.c=$(BUILD)/%.o)
TESTS   := $(TEST_C:tests/%.c=$(BUILD)/%)

.PHONY: all
all: kv.so libkv.a ## build kv.so and libkv.a

kv.so: $(BUILD)/kv.so
	cp $< $@
libkv.a: $(BUILD)/libkv.a
	cp $< $@

$(BUILD)/kv.so: $(CORE_O) $(EXT_O)
	$(CC) $(ALL_CFLAGS) -shared -Wl,-z,defs -o $@ $^
$(BUILD)/libkv.a: $(CORE_O)
	rm -f $@
	ar rcs $@ $^

$(BUILD)/core/%.o: core/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Icore -c -o $@ $<
$(BUILD)/ext/%.o: ext/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Icore -c -o $@ $<
$(BUILD)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Icore -Iext -Itests -c -o $@ $<
$(BUILD)/test_%: $(BUILD)/tests/test_%.o $(HELP_O) $(BUILD)/libkv.a
	$(CC) $(ALL_CFLAGS) -o $@ $^ -lcheck_pic -lrt -lm -lsubunit

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

.PHONY: unit
unit: $(TESTS)
	@for t in $(TESTS); do echo "== $$t"; $$t || exit 1; done

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD) kv.so libkv.a
