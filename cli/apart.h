/* Whether namespaces keep apart: what their configurations, and the directories that are there already, have in common though they
 * should not. */
#ifndef CP_CLI_APART_H
#define CP_CLI_APART_H

#include "recorder/config/config.h"

enum { CP_APART_TEXTS = 64, CP_APART_TEXT = 512 };

typedef struct cp_apart {
    uint32_t count; /* further ones are not kept */
    char texts[CP_APART_TEXTS][CP_APART_TEXT];
} cp_apart;

/* Compares each with each: region and log directories (the same, or one inside the other, links resolved), password files. Of
 * each: whether its region's directory holds another namespace's region, or could be replaced by anyone. */
void cp_apart_look(cp_apart *apart, cp_config *const *configs, uint32_t count);

#endif
