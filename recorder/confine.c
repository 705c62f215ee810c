/* See confine.h. */
#include "recorder/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

/* What the C library, libcurl, OpenSSL, libmicrohttpd, liburing and the recorder call while it starts, runs and stops. */
static const int allowed[] = {
    /* files: the region, logs, quarantine, configuration, certificates */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(preadv),
    SCMP_SYS(pwritev),
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(close),
    SCMP_SYS(close_range),
    SCMP_SYS(lseek),
    SCMP_SYS(stat),
    SCMP_SYS(fstat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(statfs),
    SCMP_SYS(fstatfs),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents64),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(sync_file_range),
    SCMP_SYS(fadvise64),
    SCMP_SYS(fcntl),
    SCMP_SYS(flock),
    SCMP_SYS(dup),
    SCMP_SYS(umask),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchown),
    /* memory and threads */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(msync),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    SCMP_SYS(futex),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(membarrier),
    SCMP_SYS(getcpu),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    /* signals and time */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigsuspend),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    /* network and waiting */
    SCMP_SYS(socketpair),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(sendfile),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    /* who and where */
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getgroups),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrlimit),
    SCMP_SYS(getrusage),
    SCMP_SYS(capget),
};

/* Libraries try these first, and go on with an older call when the kernel does not know them. clone3 takes its flags in memory,
 * where a filter cannot see them. */
static const int unknown[] = {SCMP_SYS(clone3), SCMP_SYS(openat2)};

/* Call, argument, mask, value: allowed when the argument's masked bits are the value. */
typedef struct argument_rule {
    int call;
    unsigned argument;
    scmp_datum_t mask;
    scmp_datum_t value;
} argument_rule;

#define WHOLE UINT64_MAX

static int rules_of_arguments(scmp_filter_ctx filter)
{
    const scmp_datum_t self = (scmp_datum_t)getpid();
    const argument_rule rules[] = {
        {SCMP_SYS(socket), 0, WHOLE, AF_UNIX},
        {SCMP_SYS(socket), 0, WHOLE, AF_INET},
        {SCMP_SYS(socket), 0, WHOLE, AF_INET6},
        {SCMP_SYS(socket), 0, WHOLE, AF_NETLINK},
        {SCMP_SYS(clone), 0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM},
        {SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
        {SCMP_SYS(mmap), 2, PROT_EXEC, 0},
        {SCMP_SYS(mmap), 2, PROT_EXEC | PROT_WRITE, PROT_EXEC}, /* the loader, for what looks up names */
        {SCMP_SYS(prctl), 0, WHOLE, PR_SET_NAME},
        {SCMP_SYS(prctl), 0, WHOLE, PR_GET_NAME},
        {SCMP_SYS(prctl), 0, WHOLE, PR_SET_TIMERSLACK},
        {SCMP_SYS(ioctl), 1, WHOLE, TCGETS},
        {SCMP_SYS(ioctl), 1, WHOLE, FIONREAD},
        {SCMP_SYS(ioctl), 1, WHOLE, FIONBIO},
        {SCMP_SYS(prlimit64), 2, WHOLE, 0}, /* asks, does not set */
        {SCMP_SYS(kill), 0, WHOLE, self},
        {SCMP_SYS(tgkill), 0, WHOLE, self},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof rules / sizeof rules[0]; i++)
        rc = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, rules[i].call, 1,
            SCMP_CMP64(rules[i].argument, SCMP_CMP_MASKED_EQ, rules[i].mask, rules[i].value));
    return rc;
}

static int rules_add(scmp_filter_ctx filter)
{
    int rc = rules_of_arguments(filter);
    for (size_t i = 0; rc == 0 && i < sizeof allowed / sizeof allowed[0]; i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; rc == 0 && i < sizeof unknown / sizeof unknown[0]; i++) {
        rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), unknown[i], 0);
    }
    return rc;
}

static int confine_calls(cp_error *err)
{
    if (sanitized)
        return CP_OK;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a seccomp filter");
    int rc = rules_add(filter);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);      /* Linux 4.14 */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree instead of a list */
    if (rc == 0)
        rc = seccomp_load(filter);
    seccomp_release(filter);
    if (rc == -EINVAL || rc == -ENOSYS) {
        cp_log(CP_LOG_WARN, "system calls are not filtered",
               "reason=\"this kernel has no seccomp filters\" consequence=\"a recorder that is taken over "
               "could do more\"");
        rc = 0;
    }
    return rc == 0 ? CP_OK : cp_error_errno(err, CP_E_PERM, -rc, "load the seccomp filter");
}

/* What CAP_IPC_LOCK was good for, the memory that io_uring keeps registered, stays allowed as a limit. */
static void keep_locked_memory(const struct __user_cap_data_struct *now)
{
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    if (now->effective & (1u << CAP_IPC_LOCK))
        (void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

static int drop_capabilities(cp_error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct now[_LINUX_CAPABILITY_U32S_3];
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capget, &header, now) != 0)
        return cp_error_errno(err, CP_E_PERM, errno, "read the capabilities");
    keep_locked_memory(now);
    /* The bounding set can be emptied only by who has CAP_SETPCAP; others cannot get anything out of it, by no_new_privs. */
    for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
        syscall(SYS_capset, &header, none) != 0)
        return cp_error_errno(err, CP_E_PERM, errno, "drop the capabilities");
    return CP_OK;
}

int cp_confine(cp_error *err)
{
    const struct rlimit no_core = {0, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &no_core) != 0)
        return cp_error_errno(err, CP_E_PERM, errno, "give up privileges");
    int rc = drop_capabilities(err);
    if (rc == CP_OK)
        rc = confine_calls(err);
    return rc < 0 ? cp_error_prefix(err, "recorder.confine") : CP_OK;
}
