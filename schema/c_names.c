/* See c_names.h. */
#include "schema/c_names.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keywords of C17, C23 and C++20, and macros of common headers that would replace a member's name. */
static const char *const reserved[] = {
    "NULL",         "alignas",    "alignof",   "and",
    "and_eq",       "asm",        "assert",    "auto",
    "bitand",       "bitor",      "bool",      "break",
    "case",         "catch",      "char",      "char16_t",
    "char32_t",     "char8_t",    "class",     "co_await",
    "co_return",    "co_yield",   "compl",     "concept",
    "const",        "const_cast", "consteval", "constexpr",
    "constinit",    "continue",   "decltype",  "default",
    "delete",       "do",         "double",    "dynamic_cast",
    "else",         "enum",       "errno",     "explicit",
    "export",       "extern",     "false",     "float",
    "for",          "friend",     "goto",      "if",
    "inline",       "int",        "linux",     "long",
    "mutable",      "namespace",  "new",       "noexcept",
    "not",          "not_eq",     "nullptr",   "offsetof",
    "operator",     "or",         "or_eq",     "private",
    "protected",    "public",     "register",  "reinterpret_cast",
    "requires",     "restrict",   "return",    "short",
    "signed",       "sizeof",     "static",    "static_assert",
    "static_cast",  "stderr",     "stdin",     "stdout",
    "struct",       "switch",     "template",  "this",
    "thread_local", "throw",      "true",      "try",
    "typedef",      "typeid",     "typename",  "typeof",
    "union",        "unix",       "unsigned",  "using",
    "virtual",      "void",       "volatile",  "wchar_t",
    "while",        "xor",        "xor_eq",
};

static int name_order(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int reserved_order(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

static bool is_reserved(const char *name)
{
    return bsearch(name, reserved, sizeof reserved / sizeof reserved[0], sizeof reserved[0],
                   reserved_order) != NULL;
}

static char clean(char c, bool upper)
{
    if (c >= 'a' && c <= 'z')
        return upper ? (char)(c - 'a' + 'A') : c;
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
}

/* Takes the name if it is free. 1 taken now, 0 it was taken before, -1 out of memory. */
static int name_take(cp_c_names *names, const char *name)
{
    if (tfind(name, &names->tree, name_order))
        return 0;
    char *copy = strdup(name);
    if (copy && tsearch(copy, &names->tree, name_order))
        return 1;
    free(copy);
    return -1;
}

bool cp_c_name_make(cp_c_names *names, const char *prefix, const char *text, bool upper, char *out)
{
    char base[CP_C_NAME_MAX - 16]; /* leaves room for a number */
    size_t used = 0;
    const bool digit_first = !*prefix && *text >= '0' && *text <= '9';
    if (digit_first || (!*prefix && !*text))
        base[used++] = '_';
    for (; *prefix && used < sizeof base - 2; prefix++)
        base[used++] = clean(*prefix, upper);
    for (; *text && used < sizeof base - 2; text++)
        base[used++] = clean(*text, upper);
    base[used] = '\0';
    if (is_reserved(base)) {
        base[used++] = '_';
        base[used] = '\0';
    }
    snprintf(out, CP_C_NAME_MAX, "%s", base);
    int taken = name_take(names, out);
    for (unsigned number = 2; taken == 0; number++) {
        snprintf(out, CP_C_NAME_MAX, "%s_%u", base, number);
        taken = name_take(names, out);
    }
    return taken > 0;
}

void cp_c_names_free(cp_c_names *names)
{
    tdestroy(names->tree, free);
    names->tree = NULL;
}
