/* `coldpath top`: the region live, on a terminal. It reads the region alone, and so works with the recorder dead.
 *
 * On a terminal it takes the other screen, draws over what it drew before, follows the window's size, and obeys keys. Where
 * standard output is no terminal, or with --once, it shows one interval and ends; with --json one object, or one per interval. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/text_table.h"
#include "cli/top.h"
#include "cli/verb.h"
#include "shm/sigbus_guard.h"

enum {
    OPTION_ONCE = 0x2000,
    PLAIN_WIDTH = 250,   /* of a pipe: nothing is cut */
    DEFAULT_HEIGHT = 24, /* of a terminal that does not tell */
    DEFAULT_WIDTH = 80,
    MIN_INTERVAL_MS = 100 /* a look costs each producer a cache line; more often tells nobody more */
};

typedef struct top_args {
    cp_common common;
    uint64_t interval_ns;
    bool once;
} top_args;

static volatile sig_atomic_t top_ended;
static volatile sig_atomic_t top_resized;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        top_resized = 1;
    else
        top_ended = 1;
}

/* ---- the terminal ---------------------------------------------------------------------------------------------- */

static struct termios terminal_before;

static bool terminal_take(void)
{
    if (tcgetattr(STDIN_FILENO, &terminal_before) < 0)
        return false;
    struct termios raw = terminal_before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
        return false;
    fputs("\033[?1049h\033[?25l\033[2J", stdout); /* the other screen, no cursor, empty */
    return true;
}

static void terminal_give_back(void)
{
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
}

static void terminal_size(cp_top_look *look)
{
    struct winsize size;
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    look->width = known ? size.ws_col : DEFAULT_WIDTH;
    look->height = known ? size.ws_row : DEFAULT_HEIGHT;
}

/* ---- keys ------------------------------------------------------------------------------------------------------ */

static void key_obey(char key, cp_top_look *look, uint64_t *interval_ns)
{
    switch (key) {
    case 'q':
    case 'Q':
        top_ended = 1;
        break;
    case 's':
        look->sort = (cp_top_sort)((look->sort + 1) % CP_TOP_SORTS);
        break;
    case 'p':
    case ' ':
        look->paused = !look->paused;
        break;
    case '+':
        *interval_ns = *interval_ns < 60 * (uint64_t)CP_NS_PER_S ? *interval_ns * 2 : *interval_ns;
        break;
    case '-':
        *interval_ns =
            *interval_ns / 2 >= MIN_INTERVAL_MS * (uint64_t)CP_NS_PER_MS ? *interval_ns / 2 : *interval_ns;
        break;
    case 'j':
        look->first++;
        break;
    case 'k':
        look->first -= look->first > 0;
        break;
    default:
        break;
    }
}

/* Keys that came; the arrows arrive as ESC [ A and ESC [ B. False: standard input has ended. */
static bool keys_read(cp_top_look *look, uint64_t *interval_ns)
{
    char keys[64];
    const ssize_t got = read(STDIN_FILENO, keys, sizeof keys);
    for (ssize_t i = 0; i < got; i++) {
        const bool arrow = keys[i] == '\033' && i + 2 < got && keys[i + 1] == '[';
        if (arrow && (keys[i + 2] == 'A' || keys[i + 2] == 'B'))
            key_obey(keys[i + 2] == 'A' ? 'k' : 'j', look, interval_ns);
        else if (!arrow)
            key_obey(keys[i], look, interval_ns);
        i += arrow ? 2 : 0;
    }
    return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

/* ---- showing --------------------------------------------------------------------------------------------------- */

static void frame_draw(const cp_top *top, cp_top_look *look)
{
    static const char hint[] = "q quit  s sort  p pause  + - interval  up down scroll";
    terminal_size(look);
    if (look->first >= top->row_count)
        look->first = top->row_count ? top->row_count - 1 : 0;
    fputs("\033[H", stdout);
    cp_top_look inner = *look;
    inner.height = look->height > 2 ? look->height - 2 : 1; /* a line for the keys, which is never ended */
    inner.line_end = "\033[K\n";
    cp_top_write(top, &inner, stdout);
    printf("\033[J\033[%u;1H%.*s  (sorted by %s)\033[K", look->height,
           (int)(look->width > 24 ? look->width - 24 : 0), hint, cp_top_sort_name(look->sort));
    fflush(stdout);
}

/* Until a key, a signal, a change of the window's size, or the interval's end. */
static void wait_for_input(uint64_t until_ns, cp_top_look *look, uint64_t *interval_ns, bool *keys)
{
    const uint64_t now = cp_boottime_ns();
    const uint64_t left = until_ns > now ? until_ns - now : 0;
    const struct timespec time = {.tv_sec = (time_t)(left / CP_NS_PER_S),
                                  .tv_nsec = (long)(left % CP_NS_PER_S)};
    struct pollfd input = {.fd = *keys ? STDIN_FILENO : -1, .events = POLLIN};
    sigset_t none;
    sigemptyset(&none);
    if (ppoll(&input, 1, &time, &none) > 0)
        *keys = keys_read(look, interval_ns);
}

static void live_loop(const top_args *args, cp_top *top, cp_watch *watch)
{
    cp_top_look look = {.styled = cp_text_styled(stdout)};
    uint64_t interval = args->interval_ns;
    uint64_t next = cp_boottime_ns();
    bool keys = true;
    while (!top_ended) {
        if (cp_boottime_ns() >= next) {
            if (!look.paused && !cp_top_sample(top, watch))
                break;
            next = cp_boottime_ns() + interval;
        }
        top_resized = 0;
        frame_draw(top, &look);
        if (ferror(stdout))
            break;
        wait_for_input(next, &look, &interval, &keys);
    }
}

static int sample_show(const top_args *args, const cp_top *top)
{
    if (args->common.json) {
        json_object *answer = cp_json_begin("top");
        cp_top_json(top, answer);
        return cp_json_end(answer);
    }
    cp_top_look look = {.width = PLAIN_WIDTH, .styled = cp_text_styled(stdout), .line_end = "\n"};
    if (isatty(STDOUT_FILENO)) {
        terminal_size(&look);
        look.height = 0;
    }
    cp_top_write(top, &look, stdout);
    return cp_output_finish();
}

/* One interval and its picture; with --json and without --once, interval after interval. */
static int plain_loop(const top_args *args, cp_top *top, cp_watch *watch)
{
    const struct timespec pause = {.tv_sec = (time_t)(args->interval_ns / CP_NS_PER_S),
                                   .tv_nsec = (long)(args->interval_ns % CP_NS_PER_S)};
    const bool on = args->common.json && !args->once;
    sigset_t none;
    sigemptyset(&none);
    cp_top_sample(top, watch);
    do {
        ppoll(NULL, 0, &pause, &none);
        if (!cp_top_sample(top, watch))
            return CP_EXIT_FAILED;
        const int printed = sample_show(args, top);
        if (printed != CP_EXIT_OK || cp_output_closed())
            return printed;
    } while (on && !top_ended);
    return CP_EXIT_OK;
}

static int verdict_of(const cp_top *top)
{
    if (!top->present || !top->health.recorder_alive)
        return CP_EXIT_ABSENT;
    return top->health.sound ? CP_EXIT_OK : CP_EXIT_UNHEALTHY;
}

static int top_run(const top_args *args, const char *region)
{
    cp_error err = {0};
    cp_watch *watch;
    cp_top top = {0};
    if (cp_watch_create(&watch, region, &err) < 0)
        return cp_fail(&err);
    int status = CP_EXIT_OK;
    const bool live = !args->once && !args->common.json && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
    if (live && terminal_take()) {
        live_loop(args, &top, watch);
        terminal_give_back();
    } else {
        status = plain_loop(args, &top, watch);
        if (status == CP_EXIT_OK)
            status = verdict_of(&top);
    }
    cp_top_free(&top);
    cp_watch_free(watch);
    return status;
}

/* ---- arguments ------------------------------------------------------------------------------------------------- */

static const struct argp_option top_options[] = {
    {"interval", 'i', "TIME", 0, "Between two looks (1s; at least 100ms)", 0},
    {"once", OPTION_ONCE, NULL, 0, "One interval, as plain text, and end", 0},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t top_parse(int key, char *arg, struct argp_state *state)
{
    top_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 'i':
        if (!cp_duration_parse(arg, &args->interval_ns) ||
            args->interval_ns < MIN_INTERVAL_MS * (uint64_t)CP_NS_PER_MS)
            argp_error(state, "--interval: '%s' is not a time of at least 100ms; write 1s or 250ms", arg);
        return 0;
    case OPTION_ONCE:
        args->once = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal};
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    sigset_t blocked; /* they get in while waiting, and in no other thread */
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaction(numbers[i], &action, NULL);
        sigaddset(&blocked, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, NULL);
}

int cp_verb_top(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = top_options,
                                     .parser = top_parse,
                                     .doc =
                                         "Shows the recorder, its logs and every table, live.\v"
                                         "Keys: q quits, s sorts by another column, p pauses, + and - change "
                                         "the interval, the arrows (or j and k) "
                                         "scroll. Needs no running recorder. With --once or --json exit "
                                         "codes are those of status: 0 all is well, "
                                         "2 something is wrong, 69 no recorder runs or there is no region.",
                                     .children = children};
    top_args args = {.interval_ns = CP_NS_PER_S};
    cp_error err = {0};
    char region[PATH_MAX];
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    cp_sigbus_install();
    if (cp_place_region(&args.common, region, &err) < 0)
        return cp_fail(&err);
    catch_signals();
    return top_run(&args, region);
}
