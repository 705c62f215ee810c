/* Where CREATE TABLE statements are found: a directory (schema.dir, or the shipped one) with <table>.sql files, and in it
 * a folder for every set of tables that belong together:
 *
 *     ddl/quotes.sql                      the tables of the feeds
 *     ddl/dolphin/trade_events.sql        schema.set: dolphin
 *     ddl/dolphin/views/v_….sql           views over them
 *     ddl/trading/rollups/market_data.sql what is kept of a partition before it is dropped
 */
#ifndef CP_CONFIG_SHIPPED_H
#define CP_CONFIG_SHIPPED_H

#include <stddef.h>

/* The directory of the shipped tables: <prefix>/share/coldpath/ddl of the running program in <prefix>/bin, so that an
 * unpacked tree can be moved and a build tree works uninstalled; else where it was to be installed. malloc'd, NULL when
 * out of memory. */
char *cp_shipped_dir(void);

/* The file of a table: <dir>/<set>/<name>.sql, else <dir>/<name>.sql; without a set also the one folder of dir that has
 * it. When there is none, or several have it, the first of these names, which cp_shipped_describe then explains.
 * malloc'd, NULL when out of memory. set may be NULL. */
char *cp_shipped_table(const char *dir, const char *set, const char *name);

/* Says in out why the file of a table was not found: which sets have it, which name was probably meant, which there are.
 * path is what cp_shipped_table, or the user, gave. dir: the directory searched. */
void cp_shipped_describe(const char *dir, const char *path, const char *name, char *out, size_t size);

#endif
