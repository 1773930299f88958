/* Timers. */
#include "row.h"
#include <sys/epoll.h>
#include <sys/time.h>
#include <sys/timerfd.h>

/* One that comes every 20 ms, and one that comes in an hour. */
static void timerfd(void) {
    int often = MUST(timerfd_create(CLOCK_MONOTONIC, 0)), late = MUST(timerfd_create(CLOCK_BOOTTIME, 0));
    struct itimerspec every = {{0, 20000000}, {0, 20000000}}, hour = {{0, 0}, {3600, 0}}, now;
    MUST(timerfd_settime(often, 0, &every, NULL));
    MUST(timerfd_settime(late, 0, &hour, NULL));
    int epoll = MUST(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x1234567890abcdef};
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, often, &event));
    for (time_t left = 3600;;) {
        uint64_t times = 0;
        HOLDS(epoll_wait(epoll, &event, 1, 10000) == 1 && event.data.u64 == 0x1234567890abcdef);
        HOLDS(read(often, &times, 8) == 8 && times > 0);
        HOLDS(timerfd_gettime(often, &now) == 0 && now.it_interval.tv_nsec == 20000000);
        HOLDS(timerfd_gettime(late, &now) == 0 && now.it_value.tv_sec <= left && now.it_value.tv_sec > 1800);
        left = now.it_value.tv_sec;
        ok();
    }
}

static void posix_timer(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 42};
    timer_t timer;
    MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec every = {{0, 20000000}, {0, 20000000}}, now;
    MUST(timer_settime(timer, 0, &every, NULL));
    for (;;) {
        siginfo_t info;
        struct timespec patience = {10, 0};
        int got;
        while ((got = sigtimedwait(&set, &info, &patience)) < 0 && errno == EINTR) {}
        HOLDS(got == SIGRTMIN + 3 && info.si_code == SI_TIMER && info.si_value.sival_int == 42);
        HOLDS(timer_gettime(timer, &now) == 0 && now.it_interval.tv_nsec == 20000000);
        ok();
    }
}

static volatile unsigned alarms;
static void on_alarm(int number) {
    (void)number;
    alarms++;
}

static void setitimer_row(void) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    MUST(sigaction(SIGALRM, &action, NULL));
    struct itimerval every = {{0, 20000}, {0, 20000}}, now;
    MUST(setitimer(ITIMER_REAL, &every, NULL));
    for (unsigned seen = 0;;) {
        seen = changed(&alarms, seen);
        HOLDS(getitimer(ITIMER_REAL, &now) == 0 && now.it_interval.tv_usec == 20000);
        ok();
    }
}

/* A child that sleeps for an hour. */
static volatile int *woken;
static void sleeper(void) {
    struct timespec hour = {3600, 0};
    if (nanosleep(&hour, NULL) < 0) *woken = errno;
}
static void sleep_row(void) {
    woken = shared(4096);
    child_of(sleeper);
    for (;;) {
        errno = *woken;
        if (*woken) broken("the sleep ended: %s", strerror(errno));
        ok();
    }
}

const struct row clock_rows[] = {{"timerfd", timerfd}, {"posix-timer", posix_timer}, {"setitimer", setitimer_row}, {"sleep", sleep_row}, {0}};
