/* The one way from the log to its disk. Everything the log does to files goes through this interface, so that a test can
 * put a disk behind it that lies, loses and garbles as disks do.
 *
 *   log, checkpoint, maintenance, reader
 *        │ cp_io_ops
 *        ├── io_uring  O_DIRECT, registered file and buffers, completions reaped without a system call: the writer's
 *        ├── posix     pwritev2, fdatasync and reads ahead by a worker thread; for all others, and for the writer where
 *        │             io_uring is refused
 *        └── simulated disk (tests)
 *
 * An instance is bound to one directory; names are file names in it. One thread at a time uses an instance; several
 * instances may work on the same files. Results are 0 or a count, or -errno: this floor is where errno lives, the text for
 * people is made above. Offsets, lengths and buffers of read and write are multiples of CP_IO_BLOCK (O_DIRECT). */
#ifndef CP_WAL_IO_H
#define CP_WAL_IO_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    CP_IO_BLOCK = 4096, /* no disk in use has larger sectors, and pages have this size */
    CP_IO_DEPTH = 8     /* operations that may be under way at once */
};

enum { CP_IO_READ_ONLY = 1, CP_IO_CREATE = 2 /* must not exist yet */ };

/* Where the files lie on something that cannot keep the promise. */
enum {
    CP_IO_BUFFERED = 1, /* O_DIRECT is not supported: the page cache stands between */
    CP_IO_VOLATILE = 2  /* tmpfs or ramfs: nothing survives a reboot */
};

typedef struct cp_io_done {
    uint64_t tag;
    int64_t result; /* bytes written or read, 0 for a sync, or -errno */
} cp_io_done;

typedef struct cp_io cp_io;

typedef struct cp_io_ops {
    const char *name;

    int (*open)(cp_io *io, const char *name, unsigned flags); /* a file handle, ≥ 0 */
    void (*close)(cp_io *io, int file);
    int (*lock)(cp_io *io,
                int file); /* exclusive, held by this handle until all its I/O has ended; -EWOULDBLOCK */
    int64_t (*size)(cp_io *io, int file);
    int (*allocate)(cp_io *io, int file, uint64_t size);
    int (*truncate)(cp_io *io, int file, uint64_t size);
    int64_t (*read)(cp_io *io, int file, void *data, uint64_t size,
                    uint64_t offset); /* short only at the file's end */
    int64_t (*write)(cp_io *io, int file, const void *data, uint64_t size,
                     uint64_t offset); /* whole, or an error */
    int (*sync)(cp_io *io, int file);  /* data, and the metadata needed to read it */
    int (*rename)(cp_io *io, const char *from, const char *to);
    int (*unlink)(cp_io *io, const char *name);
    int (*sync_dir)(cp_io *io);
    int (*list)(cp_io *io, void (*each)(void *ctx, const char *name), void *ctx);

    /* At most CP_IO_DEPTH at once; -EAGAIN when there is no room. A write may complete short. dsync: durable when it
     * completes. Buffers stay untouched until the completion is reaped. */
    int (*submit_write)(cp_io *io, int file, const void *data, uint64_t size, uint64_t offset, bool dsync,
                        uint64_t tag);
    int (*submit_sync)(cp_io *io, int file, uint64_t tag);
    /* As read, for readers; NULL where an instance serves only a writer. */
    int (*submit_read)(cp_io *io, int file, void *data, uint64_t size, uint64_t offset, uint64_t tag);
    /* Up to max completions, in any order; waits up to wait_ns for the first. Their number, or -errno. */
    int (*reap)(cp_io *io, cp_io_done *done, int max, uint64_t wait_ns);
    /* Says which buffers submit_write will be given, and which file next; may help, never fails. */
    void (*use_buffers)(cp_io *io, const struct iovec *buffers, unsigned count);
    void (*use_file)(cp_io *io, int file);

    void (*destroy)(cp_io *io); /* waits for what is under way */
} cp_io_ops;

struct cp_io {
    const cp_io_ops *ops;
    unsigned degraded; /* CP_IO_BUFFERED, CP_IO_VOLATILE */
    bool registered;   /* the kernel holds the buffers mapped */
    bool
        dsync_defers; /* a durable write is finished by a kernel thread bound to the submitter's processor: a submitter that
                          looks for completions without sleeping keeps it waiting for a scheduler tick, 4 ms */
};

/* The instance over pwritev2 and fdatasync. dir must exist. Its worker thread starts with the first submit.
 * CP_E_NOMEM, CP_E_ABSENT, CP_E_PERM, CP_E_IO. */
int cp_io_posix_create(cp_io **out, const char *dir, cp_error *err);

/* The instance over io_uring, for the calling thread alone to submit and reap. CP_E_UNSUPPORTED where the kernel refuses a
 * ring (the text says why and what would allow it); else as above. */
int cp_io_uring_create(cp_io **out, const char *dir, cp_error *err);

#endif
