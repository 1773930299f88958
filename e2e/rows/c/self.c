/* What the kernel keeps of a process and its threads. */
#include "row.h"
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/rseq.h>

/* A filter that answers for one system call. */
static void seccomp(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, filter};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    for (;;) {
        HOLDS(syscall(SYS_getpgid, 0) == -1 && errno == 77);
        HOLDS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
        ok();
    }
}

/* The kernel writes the processor's number where each thread said. */
static void *watch_rseq(void *seen) {
    for (;; usleep(5000)) {
        struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
        unsigned now = *(volatile unsigned *)&area->cpu_id;
        if (now >= 4096) broken("restartable sequences are off: processor %d", (int)now);
        /* Registered once: again is an error of its own. */
        if (syscall(SYS_rseq, area, 32, 0, RSEQ_SIG) == 0) broken("restartable sequences had to be registered anew");
        ++*(volatile unsigned *)seen;
    }
}
static void rseq_row(void) {
    if (__rseq_size == 0) errno = ENOSYS, cannot("rseq");
    static unsigned counters[2];
    pthread_t thread;
    for (int i = 0; i < 2; i++) MUST(-pthread_create(&thread, NULL, watch_rseq, counters + i));
    for (unsigned one = 0, two = 0;;) {
        one = changed(counters, one);
        two = changed(counters + 1, two);
        ok();
    }
}

/* An ordinary user with one capability, and groups. */
static void user(void) {
    gid_t groups[] = {3000, 3001}, now[8];
    MUST(setgroups(2, groups));
    MUST(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    MUST(setresgid(2000, 2000, 2000));
    MUST(setresuid(1000, 1000, 1001));
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{.effective = 1 << CAP_NET_RAW, .permitted = 1 << CAP_NET_RAW | 1 << CAP_CHOWN}}, is[2];
    MUST(syscall(SYS_capset, &header, data));
    MUST(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    for (;;) {
        uid_t a, b, c;
        HOLDS(getresuid(&a, &b, &c) == 0 && a == 1000 && b == 1000 && c == 1001);
        HOLDS(getgid() == 2000 && getgroups(8, now) == 2 && now[0] == 3000 && now[1] == 3001);
        HOLDS(syscall(SYS_capget, &header, is) == 0 && is[0].effective == data[0].effective);
        HOLDS(is[0].permitted == data[0].permitted && is[0].inheritable == 0);
        ok();
    }
}

static void limits(void) {
    struct rlimit files = {100, 200}, now;
    MUST(setrlimit(RLIMIT_NOFILE, &files));
    MUST(setpriority(PRIO_PROCESS, 0, 7));
    umask(027);
    for (;;) {
        HOLDS(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == 100 && now.rlim_max == 200);
        HOLDS(getpriority(PRIO_PROCESS, 0) == 7);
        mode_t mask = umask(027);
        HOLDS(mask == 027);
        ok();
    }
}

static void prctls(void) {
    char name[16];
    MUST(prctl(PR_SET_NAME, "a-row-of-c"));
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    MUST(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    for (;;) {
        int reaper = 0, death = 0;
        HOLDS(prctl(PR_GET_NAME, name) == 0 && !strcmp(name, "a-row-of-c"));
        HOLDS(prctl(PR_GET_CHILD_SUBREAPER, &reaper) == 0 && reaper == 1);
        HOLDS(prctl(PR_GET_PDEATHSIG, &death) == 0 && death == SIGUSR1);
        HOLDS(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1);
        ok();
    }
}

/* On which processors it may run, as it chose itself. */
static void affinity(void) {
    cpu_set_t one, now;
    MUST(sched_getaffinity(0, sizeof now, &now));
    int last = -1;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &now)) last = i;
    if (CPU_COUNT(&now) < 2) errno = ENODEV, cannot("a second processor");
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    MUST(sched_setaffinity(0, sizeof one, &one));
    for (;;) {
        HOLDS(sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&one, &now));
        ok();
    }
}

static void timer_slack(void) {
    MUST(prctl(PR_SET_TIMERSLACK, 1234567, 0, 0, 0));
    for (;;) {
        long now = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
        if (now != 1234567) broken("the slack is %ld ns instead of 1234567", now);
        ok();
    }
}

static void io_priority(void) {
    /* Of this process, best effort, level 6. */
    MUST(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6));
    for (;;) {
        long now = syscall(SYS_ioprio_get, 1, 0);
        if (now != (2 << 13 | 6)) broken("the priority is %lx instead of %x", now, 2 << 13 | 6);
        ok();
    }
}

const struct row self_rows[] = {{"seccomp", seccomp},
                                {"rseq", rseq_row},
                                {"user", user},
                                {"limits", limits},
                                {"prctl", prctls},
                                {"affinity", affinity},
                                {"timer-slack", timer_slack},
                                {"io-priority", io_priority},
                                {0}};
