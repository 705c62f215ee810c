/* Whether a column may change its type without losing what it holds. */
#ifndef CP_SCHEMA_WIDEN_H
#define CP_SCHEMA_WIDEN_H

#include "schema/type.h"

/* NULL when every value of from is the same value in to; else why not ("narrows: 64 bits do not fit in 32"). */
const char *cp_type_loss(const cp_type *from, const cp_type *to);

#endif
