/* Scripts: see script.h. */
#include "script.h"

#include <stdlib.h>
#include <string.h>

#define SETTING "-- differential:"
#define PRAGMAS "-- pragmas: "
#define ORDINARY "-- ordinary"
#define REMARK "---"
/* Comments that stand for the marks of text.h. */
#define VALUE_COMMENT "/*(*/"
#define VALUE_END_COMMENT "/*)*/"
#define AGAIN "k_again"

static const char *const kinds[] = {"run",      "open",  "step",    "close", "reopen",
                                    "reattach", "crash", "intrude", "veto"};
enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

static const struct {
    enum op_flag flag;
    const char *name;
} flags[] = {{OP_ORDERED, "ordered"},     {OP_READS, "reads"},         {OP_IS_SCHEMA, "schema"},
             {OP_MAINTAINS, "maintains"}, {OP_REFILTERS, "refilters"}, {OP_ALL, "all"},
             {OP_BINDS, "binds"}};
enum { FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

/* ---- Printing */

/* What stands for a mark. */
static const char *in_words(char mark, bool binds)
{
    if (mark == EITHER_NAME[0])
        return AGAIN;
    if (binds && mark == VALUE[0])
        return VALUE_COMMENT;
    if (binds && mark == VALUE_END[0])
        return VALUE_END_COMMENT;
    return "";
}

static void print_sql(FILE *file, const char *marked, bool binds)
{
    while (*marked) {
        size_t plain = strcspn(marked, FRAGMENT END EITHER_NAME VALUE VALUE_END);

        fwrite(marked, 1, plain, file);
        marked += plain;
        if (*marked)
            fputs(in_words(*marked++, binds), file);
    }
    fputs(";\n", file);
}

static void print_op(FILE *file, const struct op *op)
{
    fprintf(file, "-- %s", kinds[op->kind]);
    if (op->connection)
        fprintf(file, ", second");
    if (op->slot)
        fprintf(file, ", slot %d", op->slot);
    if (op->count)
        fprintf(file, ", count %d", op->count);
    if (op->number)
        fprintf(file, ", number %d", op->number);
    for (int i = 0; i < FLAG_COUNT; i++)
        if (op->flags & flags[i].flag)
            fprintf(file, ", %s", flags[i].name);
    fprintf(file, ": %s\n", op_class_name(op->class));
    if (op->sql)
        print_sql(file, op->sql, op->flags & OP_BINDS);
    if (op->ordinary) {
        fprintf(file, ORDINARY "\n");
        print_sql(file, op->ordinary, false);
    }
}

void script_print(FILE *file, const struct episode *episode)
{
    const struct setting *setting = &episode->setting;

    fprintf(file, SETTING " %s%s%s\n", setting->in_memory ? "in memory" : "in a file",
            setting->is_wal ? ", WAL" : "", setting->is_single ? ", one connection" : "");
    fprintf(file, PRAGMAS "%s\n", setting->pragmas);
    for (size_t i = 0; i < episode->ops.count; i++)
        print_op(file, &episode->ops.ops[i]);
}

/* ---- Reading */

static bool begins(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* One attribute of an operation. */
static bool read_attribute(const char *word, struct op *op)
{
    if (strcmp(word, "second") == 0)
        op->connection = 1;
    else if (sscanf(word, "slot %d", &op->slot) == 1)
        return op->slot >= 0 && op->slot < CURSOR_COUNT;
    else if (sscanf(word, "count %d", &op->count) == 1)
        return op->count >= 0;
    else if (sscanf(word, "number %d", &op->number) == 1)
        return true;
    else {
        for (int i = 0; i < FLAG_COUNT; i++)
            if (strcmp(word, flags[i].name) == 0) {
                op->flags |= flags[i].flag;
                return true;
            }
        return false;
    }
    return true;
}

static bool read_class(const char *name, struct op *op)
{
    for (int i = 0; i < CLASS_COUNT; i++)
        if (strcmp(name, op_class_name((enum op_class)i)) == 0) {
            op->class = (enum op_class)i;
            return true;
        }
    return false;
}

/* `-- kind, attribute, …: class`, without the beginning; the line is taken apart. */
static bool read_head(char *line, struct op *op)
{
    char *class = strstr(line, ": ");
    char *rest = NULL;
    char *word;
    int kind;

    if (!class)
        return false;
    *class = 0;
    word = strtok_r(line, ",", &rest);
    for (kind = 0; kind < KIND_COUNT; kind++)
        if (word && strcmp(word, kinds[kind]) == 0)
            break;
    if (kind == KIND_COUNT)
        return false;
    op->kind = (enum op_kind)kind;
    while ((word = strtok_r(NULL, ",", &rest)))
        if (!read_attribute(word + (*word == ' '), op))
            return false;
    return read_class(class + 2, op);
}

/* Append a line of SQL, with marks for what stands for them, and a line feed between two. */
static void add_line(char **sql, const char *line)
{
    struct text text = {0};

    if (*sql)
        text_add(&text, "%s\n", *sql);
    while (*line) {
        if (begins(line, VALUE_COMMENT)) {
            text_add(&text, VALUE);
            line += strlen(VALUE_COMMENT);
        } else if (begins(line, VALUE_END_COMMENT)) {
            text_add(&text, VALUE_END);
            line += strlen(VALUE_END_COMMENT);
        } else if (begins(line, AGAIN)) {
            text_add(&text, EITHER_NAME);
            line += strlen(AGAIN);
        } else {
            text_add_bytes(&text, line++, 1);
        }
    }
    free(*sql);
    *sql = text_take(&text);
}

/* A statement's last semicolon is not part of it: statements are looked up by their text. */
static void trim(char *sql)
{
    size_t size = sql ? strlen(sql) : 0;

    if (size && sql[size - 1] == ';')
        sql[size - 1] = 0;
}

static void read_setting(const char *line, struct setting *setting)
{
    setting->in_memory = strstr(line, "in memory") != NULL;
    setting->is_wal = strstr(line, "WAL") != NULL;
    setting->is_single = strstr(line, "one connection") != NULL;
}

/* Take one line. `is_ordinary`: it is SQL for the ordinary world. */
static bool read_line(char *line, struct episode *episode, bool *is_ordinary)
{
    struct op_list *list = &episode->ops;
    struct op op = {.kind = OP_RUN}, *last = list->count ? &list->ops[list->count - 1] : NULL;

    if (begins(line, SETTING)) {
        read_setting(line, &episode->setting);
    } else if (begins(line, PRAGMAS)) {
        snprintf(episode->pragmas, sizeof(episode->pragmas), "%s", line + strlen(PRAGMAS));
    } else if (begins(line, ORDINARY)) {
        *is_ordinary = true;
    } else if (begins(line, REMARK)) {
        return true;
    } else if (begins(line, "-- ")) {
        *is_ordinary = false;
        if (!read_head(line + 3, &op))
            return false;
        op_list_add(list, op);
    } else if (*line) {
        if (!last)
            return false;
        add_line(*is_ordinary ? &last->ordinary : &last->sql, line);
    }
    return true;
}

bool script_read(FILE *file, struct episode *episode)
{
    char *line = NULL;
    size_t capacity = 0, number = 0;
    bool is_ordinary = false, good = true;
    ssize_t size;

    *episode = (struct episode){0};
    episode->setting.pragmas = episode->pragmas;
    while (good && (size = getline(&line, &capacity, file)) > 0) {
        number++;
        if (line[size - 1] == '\n')
            line[size - 1] = 0;
        good = read_line(line, episode, &is_ordinary);
    }
    free(line);
    if (!good)
        fprintf(stderr, "differential: line %zu is no part of a script\n", number);
    for (size_t i = 0; i < episode->ops.count; i++) {
        trim(episode->ops.ops[i].sql);
        trim(episode->ops.ops[i].ordinary);
    }
    return good && episode->ops.count;
}
