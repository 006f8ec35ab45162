/* Random values: see literal.h. */
#include "literal.h"

static const char *const words[] = {
    "a",
    "b",
    "c",
    "ab",
    "abc",
    "B",
    "A",
    "Ab",
    "user:1",
    "user:2",
    "user:10",
    "user:11",
    "item:1",
    "item:2",
    "z",
    "zz",
    "1",
    "2",
    "10",
    "01",
    "1.0",
    "2.5",
    "1e1",
    " 3",
    "3 ",
    "+4",
    "-5",
    "2024-01",
    "2024-02",
    "é",
    "日本",
    "'",
    "",
    "9223372036854775807",
    "9223372036854775808",
    "0x10",
    "inf",
    "-0.0",
    "1e400",
    "a*b",
};

static const char *const numbers[] = {
    "0",
    "1",
    "-1",
    "2",
    "3.5",
    "-0.0",
    "1.0",
    "2147483648",
    "9007199254740992",
    "9007199254740993",
    "9007199254740992.0",
    "-9007199254740993",
    "9223372036854775807",
    "(-9223372036854775807 - 1)",
    "9223372036854775806",
    "9223372036854775807.0",
    "-9223372036854775808.0",
    "9223372036854774784.0",
    "1e300",
    "-1e-300",
    "5e-324",
    "9e999",
    "-9e999",
    "0.1",
    "4503599627370497.5",
    "1e15",
    "123456789012345678",
};

static const char *const odd_texts[] = {
    "('a' || char(0) || 'b')",
    "(CAST(x'ff' AS TEXT) || '')",
    "(CAST(x'61ff62' AS TEXT) || '')",
    "(CAST(x'c328' AS TEXT) || '')",
    "(CAST(x'00' AS TEXT) || '')",
    "(CAST(x'6100' AS TEXT) || '')",
    "(CAST(x'f8a1a1a1a1' AS TEXT) || '')",
    "('a' || char(65535))",
    "('user:' || char(0))",
};

static const char *const blobs[] = {
    "x''", "x'00'", "x'61'", "x'6162'", "x'ff'", "x'ffff'", "x'31'", "x'0000'", "x'757365723a31'",
};

/* Mostly small; now and then as large as a value usually gets, and rarely huge. */
static unsigned random_size(struct random *random)
{
    unsigned which = random_below(random, 10000);

    if (which == 0)
        return random_between(random, 1 << 20, 16 << 20);
    if (which < 50)
        return random_between(random, 4000, 65536);
    if (which < 1500)
        return random_between(random, 100, 3000);
    return random_between(random, 0, 100);
}

static void sized(struct random *random, struct text *out)
{
    unsigned size = random_size(random);

    switch (random_below(random, 4)) {
    case 0: text_add(out, "zeroblob(%u)", size); break;
    case 1: text_add(out, "hex(zeroblob(%u))", size / 2); break;
    case 2: text_add(out, "(hex(zeroblob(%u)) || 'end')", size / 2); break;
    default: text_add(out, "replace(hex(zeroblob(%u)), '00', 'abc')", size / 3); break;
    }
}

static void word(struct random *random, struct text *out)
{
    const char *text = RANDOM_PICK(random, words);

    text_add(out, *text == '\'' ? "''''" : "'%s'", text);
}

static void any_value(struct random *random, struct text *out)
{
    switch (random_below(random, 12)) {
    case 0: text_add(out, "NULL"); break;
    case 1: text_add(out, "%s", RANDOM_PICK(random, numbers)); break;
    case 2: text_add(out, "%s", RANDOM_PICK(random, odd_texts)); break;
    case 3: text_add(out, "%s", RANDOM_PICK(random, blobs)); break;
    case 4:
    case 5:
    case 6: sized(random, out); break;
    case 7:
    case 8: word(random, out); break;
    default: text_add(out, "%d", (int)random_below(random, 100) - 20); break;
    }
}

/* A long key, up to the longest that a store takes. */
static void long_key(struct random *random, struct text *out)
{
    unsigned size = random_chance(random, 5) ? random_between(random, 30000, 32760)
                                             : random_between(random, 20, 300);

    text_add(out, random_chance(random, 50) ? "('p' || hex(zeroblob(%u)))" : "zeroblob(%u)", size);
}

static void any_key(struct random *random, const struct table *table, struct text *out)
{
    enum family family = table->columns[0].family;
    unsigned which = random_below(random, 100);

    if (which < 2)
        text_add(out, "NULL");
    else if (which < 7)
        text_add(out, "%s", RANDOM_PICK(random, numbers));
    else if (which < 10)
        text_add(out, "%s", RANDOM_PICK(random, odd_texts));
    else if (which < 14)
        text_add(out, "%s", RANDOM_PICK(random, blobs));
    else if (which < 15)
        long_key(random, out);
    else if (which < 22)
        word(random, out);
    else if (which < 26)
        text_add(out, "%u.%u", random_below(random, 20), 5 * random_below(random, 2));
    else if (family == FAMILY_NUMBER)
        text_add(out, "%d", (int)random_below(random, 60) - 10);
    else if (family == FAMILY_TEXT)
        text_add(out, random_chance(random, 80) ? "'k%02u'" : "'%u'", random_below(random, 60));
    else
        text_add(out, random_chance(random, 50) ? "%u" : "'k%02u'", random_below(random, 40));
}

void literal_value(struct random *random, struct text *out)
{
    text_add(out, VALUE);
    any_value(random, out);
    text_add(out, VALUE_END);
}

void literal_key(struct random *random, const struct table *table, struct text *out)
{
    text_add(out, VALUE);
    any_key(random, table, out);
    text_add(out, VALUE_END);
}

void literal_of_column(struct random *random, const struct table *table, int column,
                       struct text *out)
{
    if (column == 0)
        literal_key(random, table, out);
    else
        literal_value(random, out);
}

void literal_glob(struct random *random, struct text *out)
{
    static const char *const patterns[] = {
        "'*'",       "'k*'",     "'k0*'", "'k1?'",
        "'k[0-3]*'", "'user:*'", "'a*'",  "'a'",
        "''",        "'?'",      "'1*'",  "'2024-*'",
        "'-*'",      "'[^k]*'",  "'k0'",  "'é*'",
        "'a\\*b'",   "NULL",     "1",     "x'612a'",
        "'*1'",      "'k05'",    "2.5",   "'9*'",
        "'A*'",      "'日*'",    "'k*5'", "(CAST(x'ff2a' AS TEXT) || '')",
        "'inf*'",    "' *'",
    };

    text_add(out, VALUE "%s" VALUE_END, RANDOM_PICK(random, patterns));
}

void literal_like(struct random *random, struct text *out)
{
    static const char *const patterns[] = {
        "'%'",      "'k%'",  "'K0%'", "'k1_'", "'USER:%'",
        "'a%'",     "'a'",   "''",    "'_'",   "'1%'",
        "'2024-%'", "'%1'",  "NULL",  "1",     "'a!%b' ESCAPE '!'",
        "x'6125'",  "'k05'", "'é%'",  "'-%'",  "'k%5'",
    };

    text_add(out, "%s", RANDOM_PICK(random, patterns));
}
