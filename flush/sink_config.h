/* A sink's configuration with strings of its own. */
#ifndef CP_FLUSH_SINK_CONFIG_H
#define CP_FLUSH_SINK_CONFIG_H

#include "flush/flusher.h"

/* Copies it, and every string. False: out of memory; to be dropped in any case. */
bool cp_sink_config_copy(cp_sink_config *to, const cp_sink_config *from);

/* Wipes and frees what a copy owns. */
void cp_sink_config_drop(cp_sink_config *config);

/* User, password or ca_file are not the same. */
bool cp_sink_credentials_differ(const cp_sink_config *a, const cp_sink_config *b);

#endif
