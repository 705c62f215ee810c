/* Files that a configuration consists of: the YAML itself, conf.d beside it, and the password. */
#ifndef CP_RECORDER_CONFIG_FILE_H
#define CP_RECORDER_CONFIG_FILE_H

#include "recorder/config/layer.h"

enum {
    CP_MAX_CONFIG_FILES = 64,        /* in conf.d */
    CP_MAX_PASSWORD_FILE = 4 * 1024, /* one line */
    CP_CONFIG_READABLE_BY_ALL = 0004
};

/* Reads and applies the file path and then <its directory>/conf.d/<*>.yaml in the order of their names.
 * Problems are collected in layers; a first file that cannot be read is an error (CP_E_ABSENT …). Sets
 * layers->base_dir. */
int cp_config_file_apply_all(cp_config_layers *layers, const char *path, cp_error *err);

/* Reads the password from the file that value names; a problem when it is not there, empty or readable by
 * everyone. *password is malloc'd, or NULL with a problem. CP_OK or CP_E_NOMEM. */
int cp_config_file_password(cp_config_layers *layers, const cp_config_value *value, char **password);

#endif
