/* Names that last. A file that was synced in a directory that was just made is gone with it when the host loses power, unless the
 * directory's own name was synced, too, in the directory that has it. */
#ifndef CP_BASE_DIR_H
#define CP_BASE_DIR_H

/* Syncs the directory that has path's last component. 0, or -errno. */
int cp_dir_sync_parent(const char *path);

#endif
