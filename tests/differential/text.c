/* Growing texts: see text.h. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(struct text *text, size_t more)
{
    size_t capacity = text->capacity ? text->capacity : 64;

    while (capacity < text->size + more + 1)
        capacity *= 2;
    if (capacity == text->capacity)
        return;
    text->data = (char *)realloc(text->data, capacity);
    if (!text->data)
        abort();
    text->capacity = capacity;
}

void text_add_bytes(struct text *text, const void *bytes, size_t size)
{
    reserve(text, size);
    if (size)
        memcpy(text->data + text->size, bytes, size);
    text->size += size;
    text->data[text->size] = 0;
}

void text_add(struct text *text, const char *format, ...)
{
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0)
        abort();
    reserve(text, (size_t)size);
    va_start(arguments, format);
    vsnprintf(text->data + text->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    text->size += (size_t)size;
}

void text_clear(struct text *text)
{
    text->size = 0;
    if (text->data)
        text->data[0] = 0;
}

void text_release(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

char *text_take(struct text *text)
{
    char *data;

    reserve(text, 0);
    data = text->data;
    data[text->size] = 0;
    *text = (struct text){0};
    return data;
}

/* Move what stands up to VALUE_END to `values`. The rest of `marked`. */
static const char *take_value(struct text *text, const char *marked, struct text *values)
{
    size_t size = strcspn(marked, VALUE_END);

    text_add(text, "?");
    if (values->size)
        text_add(values, ", ");
    text_add_bytes(values, marked, size);
    return marked + size;
}

void text_add_sql(struct text *text, const char *marked, enum text_world world, struct text *values)
{
    const char *either = world == WORLD_KV ? "k_again" : "k";

    while (*marked) {
        size_t plain = strcspn(marked, FRAGMENT END EITHER_NAME VALUE VALUE_END);

        text_add_bytes(text, marked, plain);
        marked += plain;
        if (*marked == EITHER_NAME[0])
            text_add_bytes(text, either, strlen(either));
        if (*marked == VALUE[0] && values)
            marked = take_value(text, marked + 1, values);
        if (*marked)
            marked++;
    }
}
