/* The confined process: what it may not do any more, and what it still can. Each case is a child of its own that confines itself and
 * tries; its exit code is the errno it got, 0 when it could. */
#include "recorder/confine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/capability.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { NOT_CONFINED = 250, PAGE = 4096 };

static int errno_of(long rc)
{
    return rc < 0 ? errno : 0;
}

/* ---- what is refused --------------------------------------------------------------------------------- */

static int execute(void)
{
    static char program[] = "/bin/true";
    char *const argv[] = {program, NULL};
    return errno_of(execv(program, argv));
}

static int make_process(void)
{
    const long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    return errno_of(pid);
}

static int trace(void)
{
    return errno_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int read_memory_of_others(void)
{
    return errno_of(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}

static int mount_something(void)
{
    return errno_of(mount("none", "/mnt", "tmpfs", 0, NULL));
}

static int new_namespace(void)
{
    return errno_of(unshare(CLONE_NEWUSER));
}

static int load_module(void)
{
    return errno_of(syscall(SYS_init_module, NULL, 0, ""));
}

static int load_bpf(void)
{
    return errno_of(syscall(SYS_bpf, 0, NULL, 0));
}

static int packet_socket(void)
{
    return errno_of(socket(AF_PACKET, SOCK_RAW, 0));
}

static int become_another(void)
{
    return errno_of(setuid(65534));
}

static int write_code(void)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? errno : 0;
}

static int make_code(void)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? NOT_CONFINED : errno_of(mprotect(page, PAGE, PROT_READ | PROT_EXEC));
}

static int signal_parent(void)
{
    return errno_of(kill(getppid(), 0));
}

static int type_into_terminal(void)
{
    return errno_of(ioctl(0, TIOCSTI, "x"));
}

static int dump_core(void)
{
    return errno_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int larger_limit(void)
{
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    return errno_of(setrlimit(RLIMIT_CORE, &unlimited));
}

/* ---- what goes on ------------------------------------------------------------------------------------ */

static void *thread_run(void *argument)
{
    (void)pthread_setname_np(pthread_self(), "cp-test");
    return argument;
}

static int make_thread(void)
{
    pthread_t thread;
    int argument;
    void *result = NULL;
    const int rc = pthread_create(&thread, NULL, thread_run, &argument);
    if (rc == 0)
        pthread_join(thread, &result);
    return rc != 0 ? rc : result != &argument;
}

static int look_up(void)
{
    struct addrinfo *found = NULL;
    const int rc = getaddrinfo("localhost", "80", NULL, &found);
    if (rc == 0)
        freeaddrinfo(found);
    return rc == EAI_SYSTEM ? errno : rc != 0;
}

static int write_file(void)
{
    char path[] = "/tmp/coldpath-confine-XXXXXX";
    const int fd = mkstemp(path);
    int failed =
        fd < 0 || write(fd, path, sizeof path) != (ssize_t)sizeof path || fdatasync(fd) < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    failed = failed || unlink(path) < 0;
    return failed;
}

/* Where the kernel lets anyone: containers often do not. */
static int uring(void)
{
    struct io_uring ring;
    const int rc = io_uring_queue_init(4, &ring, 0);
    if (rc == 0)
        io_uring_queue_exit(&ring);
    return -rc;
}

/* ---- the cases --------------------------------------------------------------------------------------- */

static int tried(int (*what)(void), bool confined)
{
    cp_error err = {0};
    int status = 0;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(confined && cp_confine(&err) < 0 ? NOT_CONFINED : what());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int (*what)(void);
    } cases[] = {{"execve", execute},
                 {"clone of a process", make_process},
                 {"ptrace", trace},
                 {"process_vm_readv", read_memory_of_others},
                 {"mount", mount_something},
                 {"unshare", new_namespace},
                 {"init_module", load_module},
                 {"bpf", load_bpf},
                 {"packet socket", packet_socket},
                 {"setuid", become_another},
                 {"mmap for writing and executing", write_code},
                 {"mprotect for executing", make_code},
                 {"kill of another", signal_parent},
                 {"TIOCSTI", type_into_terminal},
                 {"PR_SET_DUMPABLE", dump_core},
                 {"setrlimit", larger_limit}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int got = tried(cases[i].what, true);
        if (got != EPERM)
            fail_msg("%s: %s instead of EPERM", cases[i].name, got ? strerror(got) : "done");
    }
    /* The tests can tell: unconfined, some of it works for anyone. */
    assert_int_equal(tried(make_process, false), 0);
    assert_int_equal(tried(make_code, false), 0);
    assert_int_equal(tried(signal_parent, false), 0);
}

static void test_goes_on(void **state)
{
    (void)state;
    assert_int_equal(tried(make_thread, true), 0);
    assert_int_equal(tried(look_up, true), 0);
    assert_int_equal(tried(write_file, true), 0);
    assert_int_equal(tried(uring, true), tried(uring, false));
}

static int no_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct now[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, now) != 0)
        return errno;
    struct rlimit core;
    if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
        return 1;
    return (now[0].effective | now[0].permitted | now[0].inheritable | now[1].effective | now[1].permitted |
            now[1].inheritable) != 0;
}

static void test_nothing_left(void **state)
{
    (void)state;
    assert_int_equal(tried(no_capabilities, true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused), cmocka_unit_test(test_goes_on),
                                       cmocka_unit_test(test_nothing_left)};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    puts("system calls are not filtered under a sanitizer: capabilities alone");
    return cmocka_run_group_tests_name("confine", (const struct CMUnitTest[]){tests[2]}, NULL, NULL);
#else
    return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
#endif
}
