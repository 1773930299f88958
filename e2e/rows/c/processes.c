/* Processes and signals. */
#include "row.h"
#include <poll.h>

/* Three generations; each counts. */
static volatile unsigned *counts;
static pid_t *pids;
static void count_at(int generation) {
    for (;; usleep(10000)) {
        counts[generation]++;
        if (getppid() != pids[generation - 1] || getpid() != pids[generation]) counts[generation + 8] = 1;
    }
}
static void grandchild(void) { pids[2] = getpid(), count_at(2); }
static void son(void) {
    pids[1] = getpid();
    child_of(grandchild);
    count_at(1);
}
static void tree(void) {
    counts = shared(4096);
    pids = shared(4096);
    pids[0] = getpid();
    child_of(son);
    for (unsigned one = 0, two = 0;;) {
        one = changed(counts + 1, one);
        two = changed(counts + 2, two);
        if (counts[9] || counts[10]) broken("a process has another parent or number");
        ok();
    }
}

static void idle(void) {}
static void leader(void) { setsid(); }
static void member(void) { setpgid(0, 0); }

static void groups(void) {
    pid_t alone = child_of(leader), grouped = child_of(member);
    usleep(100000);
    for (pid_t session = getsid(0);;) {
        HOLDS(getsid(alone) == alone && getpgid(alone) == alone);
        HOLDS(getsid(grouped) == session && getpgid(grouped) == grouped);
        ok();
    }
}

static void zombie(void) {
    pid_t child = fork();
    if (child == 0) _exit(42);
    for (;;) {
        siginfo_t info = {0};
        HOLDS(waitid(P_PID, child, &info, WEXITED | WNOWAIT) == 0 && info.si_pid == child && info.si_status == 42);
        ok();
    }
}

static char state_of(pid_t pid) {
    char path[64], text[256] = {0};
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY);
    ssize_t length = read(file, text, 255);
    close(file);
    char *end = length > 0 ? strrchr(text, ')') : NULL;
    return end ? end[2] : '?';
}
static void stopped(void) {
    pid_t child = child_of(idle);
    MUST(kill(child, SIGSTOP));
    usleep(100000);
    for (;;) {
        char state = state_of(child);
        if (state != 'T') broken("a stopped process is in state %c", state);
        ok();
    }
}

/* Signals with values that wait, in order. */
static void pending(void) {
    sigset_t set, waiting;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 5);
    sigaddset(&set, SIGUSR2);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    int next = 0;
    for (; next < 10; next++) MUST(sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = next}));
    MUST(raise(SIGUSR2));
    sigset_t real_time;
    sigemptyset(&real_time);
    sigaddset(&real_time, SIGRTMIN + 5);
    for (;; next++) {
        ok();
        siginfo_t info;
        HOLDS(sigpending(&waiting) == 0 && sigismember(&waiting, SIGUSR2) && sigismember(&waiting, SIGRTMIN + 5));
        HOLDS(sigwaitinfo(&real_time, &info) == SIGRTMIN + 5 && info.si_value.sival_int == next - 10);
        HOLDS(sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = next}) == 0);
    }
}

/* Handlers, their masks and flags, and a stack of their own. */
static char stack[65536];
static volatile int on_stack;
static void handler(int number) {
    (void)number;
    char here;
    on_stack = &here >= stack && &here < stack + sizeof stack ? 1 : 2;
}
static void handlers(void) {
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack}, now;
    MUST(sigaltstack(&other, NULL));
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART}, is;
    sigaddset(&action.sa_mask, SIGHUP);
    MUST(sigaction(SIGUSR1, &action, NULL));
    MUST((long)signal(SIGTTIN, SIG_IGN));
    for (;;) {
        on_stack = 0;
        HOLDS(raise(SIGUSR1) == 0 && on_stack == 1);
        HOLDS(sigaltstack(NULL, &now) == 0 && now.ss_sp == stack);
        HOLDS(sigaction(SIGUSR1, NULL, &is) == 0 && is.sa_handler == handler && sigismember(&is.sa_mask, SIGHUP));
        HOLDS(sigaction(SIGTTIN, NULL, &is) == 0 && is.sa_handler == SIG_IGN);
        ok();
    }
}

static void pidfd(void) {
    pid_t child = child_of(idle);
    int handle = (int)MUST(syscall(SYS_pidfd_open, child, 0));
    for (;;) {
        struct pollfd ends = {.fd = handle, .events = POLLIN};
        HOLDS(syscall(SYS_pidfd_send_signal, handle, 0, NULL, 0) == 0 && poll(&ends, 1, 0) == 0);
        ok();
    }
}

const struct row process_rows[] = {{"process-tree", tree}, {"groups", groups},     {"zombie", zombie}, {"stopped", stopped},
                                   {"pending", pending},   {"handlers", handlers}, {"pidfd", pidfd},   {0}};
