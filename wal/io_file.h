/* Files of a directory by plain system calls: what both real backends share. */
#ifndef CP_WAL_IO_FILE_H
#define CP_WAL_IO_FILE_H

#include "wal/io.h"

typedef struct cp_io_file {
    cp_io base;
    int dir;
    bool fua; /* the device can make one write durable by itself (forced unit access) */
} cp_io_file;

/* Opens the directory and finds out what it lies on. */
int cp_io_file_init(cp_io_file *io, const char *dir, cp_error *err);
void cp_io_file_destroy(cp_io_file *io);

/* Fills in the synchronous operations. */
#define CP_IO_FILE_OPS_BUT_CLOSE                                                                             \
    .open = cp_io_file_open, .lock = cp_io_file_lock, .size = cp_io_file_size,                               \
    .allocate = cp_io_file_allocate, .truncate = cp_io_file_truncate, .read = cp_io_file_read,               \
    .write = cp_io_file_write, .sync = cp_io_file_sync, .rename = cp_io_file_rename,                         \
    .unlink = cp_io_file_unlink, .sync_dir = cp_io_file_sync_dir, .list = cp_io_file_list
#define CP_IO_FILE_OPS CP_IO_FILE_OPS_BUT_CLOSE, .close = cp_io_file_close

int cp_io_file_open(cp_io *io, const char *name, unsigned flags);
void cp_io_file_close(cp_io *io, int file);
int cp_io_file_lock(cp_io *io, int file);
int64_t cp_io_file_size(cp_io *io, int file);
int cp_io_file_allocate(cp_io *io, int file, uint64_t size);
int cp_io_file_truncate(cp_io *io, int file, uint64_t size);
int64_t cp_io_file_read(cp_io *io, int file, void *data, uint64_t size, uint64_t offset);
int64_t cp_io_file_write(cp_io *io, int file, const void *data, uint64_t size, uint64_t offset);
int cp_io_file_sync(cp_io *io, int file);
int cp_io_file_rename(cp_io *io, const char *from, const char *to);
int cp_io_file_unlink(cp_io *io, const char *name);
int cp_io_file_sync_dir(cp_io *io);
int cp_io_file_list(cp_io *io, void (*each)(void *ctx, const char *name), void *ctx);

#endif
