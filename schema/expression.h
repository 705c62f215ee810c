/* Whether two expressions of CREATE TABLE statements say the same, one as a person wrote it, the other as ClickHouse
 * gives it back: without regard to blanks, comments, quoting of names, kinds of escapes, and
 *
 *   INTERVAL 90 DAY   toIntervalDay(90)          (a, b)   a, b          tuple()   nothing
 *   TTL x DELETE      TTL x                      and      AND           Delta     Delta(8)     in codecs
 *
 * Other rewritings of the server (parentheses inside, arithmetic) count as differences. */
#ifndef CP_SCHEMA_EXPRESSION_H
#define CP_SCHEMA_EXPRESSION_H

#include <stdbool.h>
#include <stdint.h>

/* The one form that both are brought to; malloc'd, NULL when out of memory. text NULL gives "". */
char *cp_expression_canonical(const char *text);

/* NULL stands for an absent clause. False too when out of memory: a difference too many is looked at by a person. */
bool cp_expression_equal(const char *a, const char *b);

/* The same of DEFAULTs, which older servers give back as CAST(… AS type). */
bool cp_default_equal(const char *declared, const char *server);

/* The same of what is inside CODEC(…): an argument that the server adds to a codec declared without one is none. */
bool cp_codec_equal(const char *declared, const char *server);

/* Whether the expression speaks of this column. */
bool cp_expression_names(const char *expression, const char *column);

/* Takes "<expression> + INTERVAL n unit" apart: *seconds of the interval (months and years by their shortest), and the
 * canonical text in front of it, malloc'd. NULL when the TTL is not of this form. */
char *cp_ttl_split(const char *ttl, uint64_t *seconds);

#endif
