#include "shm/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct flock first_byte(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
}

int cp_lock_take(int fd)
{
    struct flock lock = first_byte();
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

bool cp_lock_held(int fd)
{
    struct flock lock = first_byte();
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
