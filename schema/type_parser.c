/* The grammar of types:
 *
 *     type    = [Array(] [LowCardinality(] [Nullable(] scalar [)] [)] [)] [NULL | NOT NULL]
 *     scalar  = name [words] [( arguments )]           "DOUBLE PRECISION", "INT(11) UNSIGNED", "Decimal(18, 8)"
 *
 * The wrappers are a loop with a count of open parentheses, not a recursion, so that no text can exhaust the
 * stack. ClickHouse's own names are matched as it does, most of them case-sensitive; SQL's aliases in any
 * case. */
#include "schema/type_parser.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "schema/suggest.h"

/* What may follow a name, and what becomes of it. */
typedef enum type_rule {
    RULE_PLAIN,   /* nothing; a length or precision "(11)", "(10, 2)" is taken and ignored, as ClickHouse does
                   */
    RULE_INTEGER, /* the same, then UNSIGNED or SIGNED */
    RULE_CHAR,    /* the same; VARYING and LARGE OBJECT belong to the name */
    RULE_DOUBLE,  /* PRECISION belongs to the name */
    RULE_STRICT,  /* no argument */
    RULE_FIXED_STRING, /* (N) */
    RULE_BINARY,       /* FixedString's alias, or with VARYING or LARGE OBJECT String's */
    RULE_DATETIME,     /* [('zone')], or (p[, 'zone']), which makes it DateTime64 */
    RULE_DATETIME64,   /* [(p[, 'zone'])] */
    RULE_DECIMAL,      /* [(P[, S])] */
    RULE_DECIMAL_S,    /* (S), the precision being the greatest of the kind */
    RULE_ENUM,         /* ('a' [= 1], …); Enum alone picks the width */
    RULE_UNSUPPORTED
} type_rule;

typedef struct type_name {
    const char *name;
    bool any_case;
    type_rule rule;
    cp_kind kind;
} type_name;

static const type_name type_names[] = {
    {"Int8", false, RULE_PLAIN, CP_INT8},
    {"Int16", false, RULE_PLAIN, CP_INT16},
    {"Int32", false, RULE_PLAIN, CP_INT32},
    {"Int64", false, RULE_PLAIN, CP_INT64},
    {"UInt8", false, RULE_PLAIN, CP_UINT8},
    {"UInt16", false, RULE_PLAIN, CP_UINT16},
    {"UInt32", false, RULE_PLAIN, CP_UINT32},
    {"UInt64", false, RULE_PLAIN, CP_UINT64},
    {"Float32", false, RULE_PLAIN, CP_FLOAT32},
    {"Float64", false, RULE_PLAIN, CP_FLOAT64},
    {"Bool", true, RULE_STRICT, CP_BOOL},
    {"Boolean", true, RULE_STRICT, CP_BOOL},
    {"Date", true, RULE_STRICT, CP_DATE},
    {"Date32", true, RULE_STRICT, CP_DATE32},
    {"DateTime", true, RULE_DATETIME, CP_DATETIME},
    {"DateTime32", true, RULE_DATETIME, CP_DATETIME},
    {"TIMESTAMP", true, RULE_DATETIME, CP_DATETIME},
    {"DateTime64", true, RULE_DATETIME64, CP_DATETIME64},
    {"String", false, RULE_PLAIN, CP_STRING},
    {"FixedString", false, RULE_FIXED_STRING, CP_FIXED_STRING},
    {"Enum8", false, RULE_ENUM, CP_ENUM8},
    {"Enum16", false, RULE_ENUM, CP_ENUM16},
    {"Enum", true, RULE_ENUM, CP_KIND_COUNT},
    {"UUID", false, RULE_STRICT, CP_UUID},
    {"Decimal", true, RULE_DECIMAL, CP_DECIMAL32},
    {"DEC", true, RULE_DECIMAL, CP_DECIMAL32},
    {"NUMERIC", true, RULE_DECIMAL, CP_DECIMAL32},
    {"FIXED", true, RULE_DECIMAL, CP_DECIMAL32},
    {"Decimal32", true, RULE_DECIMAL_S, CP_DECIMAL32},
    {"Decimal64", true, RULE_DECIMAL_S, CP_DECIMAL64},
    {"Decimal128", true, RULE_DECIMAL_S, CP_DECIMAL128},
    {"IPv4", false, RULE_STRICT, CP_IPV4},
    {"IPv6", false, RULE_STRICT, CP_IPV6},
    {"INET4", true, RULE_PLAIN, CP_IPV4},
    {"INET6", true, RULE_PLAIN, CP_IPV6},
    {"BYTE", true, RULE_INTEGER, CP_INT8},
    {"INT1", true, RULE_INTEGER, CP_INT8},
    {"TINYINT", true, RULE_INTEGER, CP_INT8},
    {"SMALLINT", true, RULE_INTEGER, CP_INT16},
    {"MEDIUMINT", true, RULE_INTEGER, CP_INT32},
    {"INT", true, RULE_INTEGER, CP_INT32},
    {"INTEGER", true, RULE_INTEGER, CP_INT32},
    {"BIGINT", true, RULE_INTEGER, CP_INT64},
    {"SIGNED", true, RULE_PLAIN, CP_INT64},
    {"UNSIGNED", true, RULE_PLAIN, CP_UINT64},
    {"BIT", true, RULE_PLAIN, CP_UINT64},
    {"YEAR", true, RULE_PLAIN, CP_UINT16},
    {"FLOAT", true, RULE_PLAIN, CP_FLOAT32},
    {"REAL", true, RULE_PLAIN, CP_FLOAT32},
    {"SINGLE", true, RULE_PLAIN, CP_FLOAT32},
    {"DOUBLE", true, RULE_DOUBLE, CP_FLOAT64},
    {"CHAR", true, RULE_CHAR, CP_STRING},
    {"CHARACTER", true, RULE_CHAR, CP_STRING},
    {"NCHAR", true, RULE_CHAR, CP_STRING},
    {"VARCHAR", true, RULE_PLAIN, CP_STRING},
    {"VARCHAR2", true, RULE_PLAIN, CP_STRING},
    {"NVARCHAR", true, RULE_PLAIN, CP_STRING},
    {"TEXT", true, RULE_PLAIN, CP_STRING},
    {"TINYTEXT", true, RULE_PLAIN, CP_STRING},
    {"MEDIUMTEXT", true, RULE_PLAIN, CP_STRING},
    {"LONGTEXT", true, RULE_PLAIN, CP_STRING},
    {"BLOB", true, RULE_PLAIN, CP_STRING},
    {"TINYBLOB", true, RULE_PLAIN, CP_STRING},
    {"MEDIUMBLOB", true, RULE_PLAIN, CP_STRING},
    {"LONGBLOB", true, RULE_PLAIN, CP_STRING},
    {"CLOB", true, RULE_PLAIN, CP_STRING},
    {"BYTEA", true, RULE_PLAIN, CP_STRING},
    {"VARBINARY", true, RULE_PLAIN, CP_STRING},
    {"BINARY", true, RULE_BINARY, CP_FIXED_STRING},
    {"Int128", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Int256", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"UInt128", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"UInt256", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"BFloat16", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Decimal256", true, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Tuple", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Map", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Nested", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"JSON", true, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Object", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Variant", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Dynamic", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Time", true, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Time64", true, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Point", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Ring", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Polygon", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"MultiPolygon", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"LineString", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"AggregateFunction", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"SimpleAggregateFunction", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
    {"Nothing", false, RULE_UNSUPPORTED, CP_KIND_COUNT},
};
enum { TYPE_NAMES = sizeof type_names / sizeof type_names[0] };

enum {
    DATETIME64_DEFAULT_PRECISION = 3, /* milliseconds, as ClickHouse */
    DATETIME64_MAX_PRECISION = 9,
    DECIMAL32_PRECISION = 9,
    DECIMAL64_PRECISION = 18,
    DECIMAL_DEFAULT_PRECISION = 10,
    TIMEZONE_MAX = 64 /* the longest name of the IANA database has 32 bytes */
};

static bool word_equals(const cp_ddl *ddl, cp_ddl_token tok, const type_name *name)
{
    const size_t len = tok.end - tok.begin;
    return cp_ddl_token_is(ddl, tok, name->name) &&
           (name->any_case || memcmp(ddl->text + tok.begin, name->name, len) == 0);
}

static const type_name *name_find(const cp_ddl *ddl, cp_ddl_token tok)
{
    for (size_t i = 0; i < TYPE_NAMES; i++) {
        if (word_equals(ddl, tok, &type_names[i]))
            return &type_names[i];
    }
    return NULL;
}

static int name_unknown(cp_ddl *ddl)
{
    char shown[CP_DDL_SHOWN];
    const cp_ddl_token tok = ddl->tok;
    if (tok.kind != CP_DDL_WORD)
        return cp_ddl_fail(ddl, tok, CP_E_PARSE, "expected a type, found %s", cp_ddl_show(ddl, tok, shown));
    cp_suggestion suggestion = {.word = ddl->text + tok.begin, .len = tok.end - tok.begin};
    for (size_t i = 0; i < TYPE_NAMES; i++) {
        if (type_names[i].rule != RULE_UNSUPPORTED)
            cp_suggest_offer(&suggestion, type_names[i].name);
    }
    static const char *const wrappers[] = {"Nullable", "LowCardinality", "Array"};
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++)
        cp_suggest_offer(&suggestion, wrappers[i]);
    if (suggestion.best)
        return cp_ddl_fail(ddl, tok, CP_E_PARSE, "unknown type %s; did you mean %s?",
                           cp_ddl_show(ddl, tok, shown), suggestion.best);
    return cp_ddl_fail(
        ddl, tok, CP_E_PARSE,
        "unknown type %s; known are Int8-64, UInt8-64, Float32/64, Bool, Date, Date32, DateTime, "
        "DateTime64, String, FixedString, Enum8/16, UUID, Decimal, IPv4/6, and Nullable, "
        "LowCardinality and Array of them",
        cp_ddl_show(ddl, tok, shown));
}

/* Reads an integer literal with an optional sign; what names it in messages ("the precision of DateTime64").
 */
static int integer_parse(cp_ddl *ddl, const char *what, long min, long max, long *out)
{
    char shown[CP_DDL_SHOWN];
    const cp_ddl_token first = ddl->tok;
    const bool negative = cp_ddl_accept_punct(ddl, '-');
    if (!negative)
        cp_ddl_accept_punct(ddl, '+');
    const cp_ddl_token tok = ddl->tok;
    if (tok.kind != CP_DDL_NUMBER)
        return cp_ddl_fail(ddl, tok, CP_E_PARSE, "expected %s, a number from %ld to %ld, found %s", what, min,
                           max, cp_ddl_show(ddl, tok, shown));
    long value = 0;
    bool good = true;
    for (size_t i = tok.begin; i < tok.end && good; i++) {
        const char c = ddl->text[i];
        good = c >= '0' && c <= '9' && value < LONG_MAX / 10 - 1;
        value = good ? value * 10 + (c - '0') : value;
    }
    value = negative ? -value : value;
    const cp_ddl_token whole = {CP_DDL_NUMBER, first.begin, tok.end};
    if (!good || value < min || value > max)
        return cp_ddl_fail(ddl, first, CP_E_PARSE, "%s must be a whole number from %ld to %ld, found %s",
                           what, min, max, cp_ddl_show(ddl, whole, shown));
    *out = value;
    cp_ddl_next(ddl);
    return ddl->failed;
}

/* Skips "(11)" or "(10, 2)", which say nothing to ClickHouse. */
static int length_skip(cp_ddl *ddl)
{
    long ignored = 0;
    if (!cp_ddl_accept_punct(ddl, '('))
        return ddl->failed;
    if (integer_parse(ddl, "a length", 0, INT_MAX, &ignored) < 0)
        return ddl->failed;
    if (cp_ddl_accept_punct(ddl, ',') && integer_parse(ddl, "a scale", 0, INT_MAX, &ignored) < 0)
        return ddl->failed;
    return cp_ddl_expect_punct(ddl, ')', "after the length");
}

static int timezone_parse(cp_ddl *ddl, cp_type *type)
{
    char shown[CP_DDL_SHOWN];
    const cp_ddl_token tok = ddl->tok;
    if (tok.kind != CP_DDL_STRING)
        return cp_ddl_fail(ddl, tok, CP_E_PARSE,
                           "expected a time zone in single quotes, such as 'UTC', found %s",
                           cp_ddl_show(ddl, tok, shown));
    type->timezone = cp_ddl_decode(ddl, tok);
    if (!type->timezone)
        return ddl->failed;
    const size_t len = strlen(type->timezone);
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";
    if (len == 0 || len > TIMEZONE_MAX || strspn(type->timezone, allowed) != len)
        return cp_ddl_fail(ddl, tok, CP_E_PARSE, "%s is no name of a time zone; write one such as 'UTC'",
                           cp_ddl_show(ddl, tok, shown));
    cp_ddl_next(ddl);
    return ddl->failed;
}

static int datetime64_parse(cp_ddl *ddl, cp_type *type)
{
    long precision = 0;
    if (integer_parse(ddl, "the precision of DateTime64", 0, DATETIME64_MAX_PRECISION, &precision) < 0)
        return ddl->failed;
    type->kind = CP_DATETIME64;
    type->precision = (uint8_t)precision;
    if (cp_ddl_accept_punct(ddl, ',') && timezone_parse(ddl, type) < 0)
        return ddl->failed;
    return cp_ddl_expect_punct(ddl, ')', "after the arguments of DateTime64");
}

static int datetime_parse(cp_ddl *ddl, cp_type *type, type_rule rule)
{
    if (rule == RULE_DATETIME64)
        type->precision = DATETIME64_DEFAULT_PRECISION;
    if (!cp_ddl_accept_punct(ddl, '('))
        return ddl->failed;
    if (rule == RULE_DATETIME64 || ddl->tok.kind == CP_DDL_NUMBER)
        return datetime64_parse(ddl, type);
    if (cp_ddl_accept_punct(ddl, ')'))
        return ddl->failed;
    if (timezone_parse(ddl, type) < 0)
        return ddl->failed;
    return cp_ddl_expect_punct(ddl, ')', "after the time zone");
}

static int decimal_parse(cp_ddl *ddl, cp_type *type, type_rule rule)
{
    long precision = type->kind == CP_DECIMAL32   ? DECIMAL32_PRECISION
                     : type->kind == CP_DECIMAL64 ? DECIMAL64_PRECISION
                                                  : CP_MAX_DECIMAL_PRECISION;
    long scale = 0;
    if (rule == RULE_DECIMAL)
        precision = DECIMAL_DEFAULT_PRECISION;
    const bool arguments = cp_ddl_accept_punct(ddl, '(');
    if (rule == RULE_DECIMAL_S && !arguments)
        return cp_ddl_expect_punct(ddl, '(', "with the scale, as in Decimal64(8)");
    if (arguments && rule == RULE_DECIMAL) {
        const cp_ddl_token at = ddl->tok;
        if (integer_parse(ddl, "the precision of Decimal", 1, 76, &precision) < 0)
            return ddl->failed;
        if (precision > CP_MAX_DECIMAL_PRECISION)
            return cp_ddl_fail(ddl, at, CP_E_UNSUPPORTED,
                               "Decimal with %ld digits (Decimal256) is not supported; use at most %d",
                               precision, CP_MAX_DECIMAL_PRECISION);
    }
    const bool has_scale = arguments && (rule == RULE_DECIMAL_S || cp_ddl_accept_punct(ddl, ','));
    if (has_scale && integer_parse(ddl, "the scale of Decimal", 0, precision, &scale) < 0)
        return ddl->failed;
    if (arguments && cp_ddl_expect_punct(ddl, ')', "after the arguments of Decimal") < 0)
        return ddl->failed;
    type->precision = (uint8_t)precision;
    type->scale = (uint8_t)scale;
    type->kind = precision <= DECIMAL32_PRECISION   ? CP_DECIMAL32
                 : precision <= DECIMAL64_PRECISION ? CP_DECIMAL64
                                                    : CP_DECIMAL128;
    return ddl->failed;
}

static int fixed_string_parse(cp_ddl *ddl, cp_type *type)
{
    long size = 0;
    if (cp_ddl_expect_punct(ddl, '(', "with the number of bytes, as in FixedString(16)") < 0 ||
        integer_parse(ddl, "the number of bytes of FixedString", 1, CP_MAX_FIXED_STRING, &size) < 0)
        return ddl->failed;
    type->value_size = (uint32_t)size;
    return cp_ddl_expect_punct(ddl, ')', "after the number of bytes");
}

/* Numbers one item: as given, or 1 for the first one, or one more than the last. As in ClickHouse, behind the
 * first item either all have numbers or none has. */
static int enum_number(cp_ddl *ddl, cp_type *type, bool *rest_given, long *value)
{
    char shown[CP_DDL_SHOWN];
    const cp_ddl_token at = ddl->tok;
    const long min = type->kind == CP_ENUM8 ? INT8_MIN : INT16_MIN;
    const long max = type->kind == CP_ENUM8 ? INT8_MAX : INT16_MAX;
    const uint32_t count = type->enum_count;
    const bool given = cp_ddl_accept_punct(ddl, '=');
    if (given && integer_parse(ddl, "the value of an Enum's name", min, max, value) < 0)
        return ddl->failed;
    if (count == 1)
        *rest_given = given;
    if (count > 1 && given != *rest_given)
        return cp_ddl_fail(ddl, at, CP_E_PARSE,
                           "near %s: behind an Enum's first name either all names have values or none has",
                           cp_ddl_show(ddl, at, shown));
    if (!given)
        *value = count == 0 ? 1 : type->enum_items[count - 1].value + 1;
    if (*value > max)
        return cp_ddl_fail(ddl, at, CP_E_PARSE,
                           "the next value of this Enum would be %ld, above its maximum %ld", *value, max);
    return ddl->failed;
}

/* What of an item is there already: "name", "value of", or NULL. */
static const char *enum_has(const cp_type *type, const char *name, long value)
{
    for (uint32_t i = 0; i < type->enum_count; i++) {
        const cp_enum_item *item = &type->enum_items[i];
        if (item->name && strcmp(item->name, name) == 0)
            return "name";
        if (item->value == value)
            return "value of";
    }
    return NULL;
}

static int enum_item_parse(cp_ddl *ddl, cp_type *type, bool *rest_given)
{
    char shown[CP_DDL_SHOWN];
    const cp_ddl_token tok = ddl->tok;
    if (tok.kind != CP_DDL_STRING)
        return cp_ddl_fail(ddl, tok, CP_E_PARSE, "expected an Enum's name in single quotes, found %s",
                           cp_ddl_show(ddl, tok, shown));
    if (type->enum_count == CP_MAX_ENUM_ITEMS)
        return cp_ddl_fail(ddl, tok, CP_E_TOO_BIG, "more than %d names in one Enum", CP_MAX_ENUM_ITEMS);
    cp_ddl_next(ddl);
    long value = 0;
    if (enum_number(ddl, type, rest_given, &value) < 0)
        return ddl->failed;
    char *name = cp_ddl_decode(ddl, tok);
    if (!name)
        return ddl->failed;
    const char *twice = enum_has(type, name, value);
    if (twice) {
        free(name);
        return cp_ddl_fail(ddl, tok, CP_E_PARSE, "this Enum has the %s %s twice", twice,
                           cp_ddl_show(ddl, tok, shown));
    }
    type->enum_items[type->enum_count++] = (cp_enum_item){(int16_t)value, name};
    return ddl->failed;
}

static int enum_parse(cp_ddl *ddl, cp_type *type)
{
    const bool pick = type->kind == CP_KIND_COUNT;
    if (pick)
        type->kind = CP_ENUM16;
    if (cp_ddl_expect_punct(ddl, '(', "with the names, as in Enum8('buy', 'sell')") < 0)
        return ddl->failed;
    type->enum_items = calloc(CP_MAX_ENUM_ITEMS, sizeof *type->enum_items);
    if (!type->enum_items)
        return cp_ddl_nomem(ddl);
    bool rest_given = false;
    do {
        if (enum_item_parse(ddl, type, &rest_given) < 0)
            return ddl->failed;
    } while (cp_ddl_accept_punct(ddl, ','));
    bool small = true;
    for (uint32_t i = 0; i < type->enum_count; i++)
        small = small && type->enum_items[i].value >= INT8_MIN && type->enum_items[i].value <= INT8_MAX;
    if (pick && small)
        type->kind = CP_ENUM8;
    return cp_ddl_expect_punct(ddl, ')', "after an Enum's names");
}

static cp_kind kind_unsigned(cp_kind kind)
{
    return (cp_kind)(kind - CP_INT8 + CP_UINT8);
}

/* "VARYING" or "LARGE OBJECT" behind CHAR or BINARY. */
static bool varying_accept(cp_ddl *ddl)
{
    return cp_ddl_accept(ddl, "VARYING") || (cp_ddl_accept(ddl, "LARGE") && cp_ddl_accept(ddl, "OBJECT"));
}

static int scalar_parse(cp_ddl *ddl, cp_type *type)
{
    char shown[CP_DDL_SHOWN];
    const cp_ddl_token tok = ddl->tok;
    if (cp_ddl_is(ddl, "NATIONAL"))
        cp_ddl_next(ddl);
    const type_name *name = name_find(ddl, ddl->tok);
    if (!name)
        return name_unknown(ddl);
    if (name->rule == RULE_UNSUPPORTED)
        return cp_ddl_fail(
            ddl, tok, CP_E_UNSUPPORTED,
            "type %s is not supported; supported are numbers to 64 bits, Decimal to 38 digits, dates, "
            "strings, enums, UUID and IP addresses, and Nullable, LowCardinality and Array of them",
            cp_ddl_show(ddl, tok, shown));
    cp_ddl_next(ddl);
    type->kind = name->kind;
    switch (name->rule) {
    case RULE_STRICT:
    case RULE_UNSUPPORTED:
        return ddl->failed;
    case RULE_CHAR:
        varying_accept(ddl);
        return length_skip(ddl);
    case RULE_DOUBLE:
        cp_ddl_accept(ddl, "PRECISION");
        return length_skip(ddl);
    case RULE_PLAIN:
        return length_skip(ddl);
    case RULE_INTEGER:
        if (length_skip(ddl) == CP_OK && cp_ddl_accept(ddl, "UNSIGNED"))
            type->kind = kind_unsigned(type->kind);
        else
            cp_ddl_accept(ddl, "SIGNED");
        return ddl->failed;
    case RULE_BINARY:
        if (!varying_accept(ddl))
            return fixed_string_parse(ddl, type);
        type->kind = CP_STRING;
        return length_skip(ddl);
    case RULE_FIXED_STRING:
        return fixed_string_parse(ddl, type);
    case RULE_DATETIME:
    case RULE_DATETIME64:
        return datetime_parse(ddl, type, name->rule);
    case RULE_DECIMAL:
    case RULE_DECIMAL_S:
        return decimal_parse(ddl, type, name->rule);
    case RULE_ENUM:
        return enum_parse(ddl, type);
    }
    return ddl->failed;
}

/* One wrapper, if there is one; *open counts its parenthesis. */
static int wrapper_parse(cp_ddl *ddl, cp_type *type, int *open, bool *found)
{
    const cp_ddl_token tok = ddl->tok;
    const bool array = cp_ddl_is(ddl, "Array");
    const bool low_cardinality = cp_ddl_is(ddl, "LowCardinality");
    *found = array || low_cardinality || cp_ddl_is(ddl, "Nullable");
    if (!*found)
        return ddl->failed;
    if (array && type->array)
        return cp_ddl_fail(ddl, tok, CP_E_UNSUPPORTED, "an Array of Arrays is not supported; one level is");
    if (array && (type->low_cardinality || type->nullable))
        return cp_ddl_fail(ddl, tok, CP_E_PARSE, "an Array cannot be inside Nullable or LowCardinality");
    if (low_cardinality && type->nullable)
        return cp_ddl_fail(ddl, tok, CP_E_PARSE,
                           "LowCardinality cannot be inside Nullable; write LowCardinality(Nullable(…))");
    if ((low_cardinality && type->low_cardinality) || (!array && !low_cardinality && type->nullable))
        return cp_ddl_fail(ddl, tok, CP_E_PARSE,
                           "LowCardinality or Nullable stands here twice; once is enough");
    type->array = type->array || array;
    type->low_cardinality = type->low_cardinality || low_cardinality;
    type->nullable = type->nullable || !(array || low_cardinality);
    cp_ddl_next(ddl);
    (*open)++;
    return cp_ddl_expect_punct(ddl, '(', "with a type");
}

/* NULL and NOT NULL behind a type. */
static int null_modifier_parse(cp_ddl *ddl, cp_type *type)
{
    const cp_ddl_token tok = ddl->tok;
    if (cp_ddl_is(ddl, "NOT") && cp_ddl_token_is(ddl, cp_ddl_peek(ddl), "NULL")) {
        cp_ddl_next(ddl);
        cp_ddl_next(ddl);
        if (type->nullable && !type->array)
            return cp_ddl_fail(ddl, tok, CP_E_PARSE, "NOT NULL contradicts the Nullable type; leave one out");
    } else if (cp_ddl_accept(ddl, "NULL")) {
        if (type->nullable || type->array || type->low_cardinality)
            return cp_ddl_fail(
                ddl, tok, CP_E_PARSE,
                "NULL cannot stand behind Nullable, Array or LowCardinality; put Nullable(…) inside");
        type->nullable = true;
    }
    return ddl->failed;
}

int cp_type_parse(cp_ddl *ddl, cp_type *type)
{
    *type = (cp_type){0};
    const cp_ddl_token tok = ddl->tok;
    int open = 0;
    bool found = true;
    while (found) {
        if (wrapper_parse(ddl, type, &open, &found) < 0)
            return ddl->failed;
    }
    if (scalar_parse(ddl, type) < 0)
        return ddl->failed;
    if (type->low_cardinality && type->kind != CP_STRING)
        return cp_ddl_fail(
            ddl, tok, CP_E_UNSUPPORTED,
            "LowCardinality is supported for String and Nullable(String) only; leave it out here");
    for (; open > 0; open--) {
        if (cp_ddl_expect_punct(ddl, ')', "to close the type") < 0)
            return ddl->failed;
    }
    if (null_modifier_parse(ddl, type) < 0)
        return ddl->failed;
    const int code = cp_type_finish(type);
    if (code == CP_E_TOO_BIG)
        return cp_ddl_fail(ddl, tok, code,
                           "the type's text is longer than %d bytes; use fewer or shorter names",
                           CP_MAX_TYPE_TEXT);
    return code < 0 ? cp_ddl_nomem(ddl) : ddl->failed;
}
