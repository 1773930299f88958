/* What has to be refused: the program has it, and goes on. */
#include "row.h"
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <linux/vm_sockets.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/* Is still there, as the same thing. */
static void keeps(int descriptor) {
    char path[64], before[128] = {0}, now[128];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    MUST(readlink(path, before, 127));
    for (;;) {
        memset(now, 0, sizeof now);
        HOLDS(readlink(path, now, 127) > 0 && !strcmp(before, now));
        ok();
    }
}

/* A ring that does nothing, all the time. */
static void io_uring(void) {
    struct io_uring_params parameters = {0};
    int ring = (int)MUST(syscall(SYS_io_uring_setup, 4, &parameters));
    char *queue = mmap(NULL, parameters.sq_off.array + 64, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    char *done = mmap(NULL, parameters.cq_off.cqes + 256, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    struct io_uring_sqe *entries = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    if (queue == MAP_FAILED || done == MAP_FAILED || entries == MAP_FAILED) cannot("mmap");
    for (unsigned round = 0;; round++) {
        unsigned *tail = (void *)(queue + parameters.sq_off.tail), at = *tail & 3;
        entries[at] = (struct io_uring_sqe){.opcode = IORING_OP_NOP, .user_data = round};
        ((unsigned *)(void *)(queue + parameters.sq_off.array))[at] = at;
        __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
        HOLDS(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
        unsigned *head = (void *)(done + parameters.cq_off.head);
        struct io_uring_cqe *ends = (void *)(done + parameters.cq_off.cqes);
        HOLDS(ends[*head & (parameters.cq_entries - 1)].user_data == round);
        __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
        ok();
    }
}

static void userfaultfd_row(void) { keeps((int)MUST(syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY))); }

static void perf_event(void) {
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes, .config = PERF_COUNT_SW_TASK_CLOCK,
                                         .exclude_kernel = 1, .exclude_hv = 1};
    int event = (int)MUST(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
    for (uint64_t before = 0, now;; before = now) {
        HOLDS(read(event, &now, 8) == 8 && now > before);
        ok();
    }
}

static void bpf_map(void) {
    union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};
    int map = (int)MUST(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
    for (uint64_t round = 0;; round++) {
        uint32_t key = 0;
        uint64_t got = ~round;
        union bpf_attr put = {.map_fd = map, .key = (uint64_t)&key, .value = (uint64_t)&round};
        union bpf_attr get = {.map_fd = map, .key = (uint64_t)&key, .value = (uint64_t)&got};
        HOLDS(syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &put, sizeof put) == 0);
        ok();
        HOLDS(syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &get, sizeof get) == 0 && got == round);
    }
}

static void vsock(void) {
    int listener = (int)MUST(socket(AF_VSOCK, SOCK_STREAM, 0));
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = VMADDR_PORT_ANY};
    MUST(bind(listener, (void *)&address, sizeof address));
    MUST(listen(listener, 4));
    keeps(listener);
}

static void mptcp(void) {
    int listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 262));
    MUST(listen(listener, 4));
    keeps(listener);
}

static void seccomp_notify(void) {
    struct sock_filter filter[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, filter};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    keeps((int)MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program)));
}

static void alarm_timer(void) {
    int timer = (int)MUST(timerfd_create(CLOCK_BOOTTIME_ALARM, 0));
    struct itimerspec every = {{0, 20000000}, {0, 20000000}};
    MUST(timerfd_settime(timer, 0, &every, NULL));
    for (;;) {
        uint64_t times;
        HOLDS(read(timer, &times, 8) == 8 && times > 0);
        ok();
    }
}

static void secret_memory(void) {
    int secret = (int)MUST(syscall(SYS_memfd_secret, 0));
    MUST(ftruncate(secret, 4096));
    volatile unsigned *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, secret, 0);
    if (at == MAP_FAILED) cannot("mmap");
    for (unsigned round = 0;; round++) {
        *at = round;
        ok();
        HOLDS(*at == round);
    }
}

static void landlock(void) {
    uint64_t accesses = 1;
    keeps((int)MUST(syscall(SYS_landlock_create_ruleset, &accesses, 8, 0)));
}

/* With an answer that is not read; a copy of it is looked at. */
static void netlink_unread(void) {
    int socket_ = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    struct {
        struct nlmsghdr header;
        struct rtgenmsg body;
    } request = {{sizeof request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 9, 0}, {AF_UNSPEC}};
    MUST(send(socket_, &request, sizeof request, 0));
    for (;;) {
        struct nlmsghdr answer;
        HOLDS(recv(socket_, &answer, sizeof answer, MSG_PEEK) == sizeof answer && answer.nlmsg_seq == 9);
        ok();
    }
}

static void message_queue(void) {
    mqd_t queue = (mqd_t)MUST(mq_open("/row", O_CREAT | O_RDWR, 0600, NULL));
    for (;;) {
        char text[8192];
        HOLDS(mq_send(queue, "hello", 5, 1) == 0);
        ok();
        HOLDS(mq_receive(queue, text, sizeof text, NULL) == 5);
    }
}

static void count_alone(void) {}

/* A child that this process traces and lets run. */
static void traced(void) {
    pid_t child = child_of(count_alone);
    MUST(ptrace(PTRACE_SEIZE, child, 0, 0));
    for (;;) {
        char path[64], line[128];
        int tracer = 0;
        snprintf(path, sizeof path, "/proc/%d/status", child);
        FILE *status = fopen(path, "r");
        while (status && fgets(line, sizeof line, status)) sscanf(line, "TracerPid: %d", &tracer);
        fclose(status);
        HOLDS(tracer == getpid());
        ok();
    }
}

/* A parent that waits for a child which has its memory. */
static volatile unsigned *vforked;
static void vfork_parent(void) {
    if (syscall(SYS_clone, CLONE_VFORK | CLONE_VM | SIGCHLD, 0, 0, 0, 0) == 0)
        for (;;) {
            struct timespec little = {0, 10000000};
            ++*vforked;
            syscall(SYS_nanosleep, &little, NULL);
        }
}
static void vfork_row(void) {
    vforked = shared(4096);
    child_of(vfork_parent);
    for (unsigned seen = 0;;) {
        seen = changed(vforked, seen);
        ok();
    }
}

/* A namespace of users of a child's own. */
static volatile int *sandboxed;
static void sandbox(void) {
    *sandboxed = unshare(CLONE_NEWUSER | CLONE_NEWUTS) == 0 ? 1 : -errno;
}
static void namespaces(void) {
    sandboxed = shared(4096);
    pid_t child = child_of(sandbox);
    while (*sandboxed == 0) usleep(1000);
    errno = -*sandboxed;
    if (*sandboxed < 0) cannot("unshare");
    for (;;) {
        HOLDS(kill(child, 0) == 0);
        ok();
    }
}

/* A file with two names that is open by the one that was removed. */
static void removed_name(void) {
    int file = (int)MUST(open("/tmp/one", O_RDWR | O_CREAT, 0600));
    MUST(link("/tmp/one", "/tmp/other"));
    MUST(unlink("/tmp/one"));
    for (uint32_t round = 0;; round++) {
        uint32_t got;
        HOLDS(pwrite(file, &round, 4, 0) == 4);
        ok();
        HOLDS(pread(file, &got, 4, 0) == 4 && got == round);
    }
}

static void deleted_big(void) {
    int file = (int)MUST(open("/tmp/big", O_RDWR | O_CREAT, 0600));
    MUST(fallocate(file, 0, 0, 260L << 20));
    MUST(unlink("/tmp/big"));
    keeps(file);
}

/* Whom another container of the pod serves, by a socket in a volume. */
static void unix_server(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/volume/socket"};
    int listener = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(listener, (void *)&address, sizeof address));
    MUST(listen(listener, 8));
    int peer = (int)MUST(accept(listener, NULL, NULL));
    for (;;) {
        char byte;
        HOLDS(read(peer, &byte, 1) == 1 && write(peer, &byte, 1) == 1);
        ok();
    }
}
static void unix_client(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/volume/socket"};
    int peer = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0)), tries = 0;
    while (connect(peer, (void *)&address, sizeof address) < 0 && tries++ < 1000) usleep(20000);
    for (;;) {
        char byte = 'x';
        HOLDS(write(peer, &byte, 1) == 1 && read(peer, &byte, 1) == 1);
        ok();
    }
}

const struct row refused_rows[] = {{"io_uring", io_uring},
                                   {"userfaultfd", userfaultfd_row},
                                   {"perf_event", perf_event},
                                   {"bpf-map", bpf_map},
                                   {"vsock", vsock},
                                   {"mptcp", mptcp},
                                   {"seccomp-notify", seccomp_notify},
                                   {"alarm-timer", alarm_timer},
                                   {"secret-memory", secret_memory},
                                   {"landlock", landlock},
                                   {"netlink-unread", netlink_unread},
                                   {"message-queue", message_queue},
                                   {"traced", traced},
                                   {"vfork", vfork_row},
                                   {"namespaces", namespaces},
                                   {"removed-name", removed_name},
                                   {"deleted-big", deleted_big},
                                   {"unix-server", unix_server},
                                   {"unix-client", unix_client},
                                   {0}};
