/* Bytes, events and descriptors on their way. */
#include "row.h"
#include <linux/aio_abi.h>
#include <poll.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <termios.h>

/* Keeps numbers in a channel: each look takes the oldest and puts in the next. */
static void numbers(int out, int in) {
    uint32_t next = 0, wanted = 0, got;
    for (; next < 50; next++) MUST(write(out, &next, 4));
    for (;;) {
        HOLDS(read(in, &got, 4) == 4);
        if (got != wanted++) broken("%u came instead of %u", got, wanted - 1);
        HOLDS(write(out, &next, 4) == 4);
        next++;
        ok();
    }
}

static void pipe_row(void) {
    int ends[2];
    MUST(pipe(ends));
    numbers(ends[1], ends[0]);
}

static void fifo(void) {
    MUST(mkfifo("/tmp/fifo", 0600));
    int in = MUST(open("/tmp/fifo", O_RDWR));
    numbers(MUST(open("/tmp/fifo", O_WRONLY)), in);
}

static void pair(int kind) {
    int ends[2];
    MUST(socketpair(AF_UNIX, kind, 0, ends));
    numbers(ends[0], ends[1]);
}
static void unix_stream(void) { pair(SOCK_STREAM); }
static void unix_datagram(void) { pair(SOCK_DGRAM); }
static void unix_packets(void) { pair(SOCK_SEQPACKET); }

/* A descriptor in a message that nobody has taken yet. */
static void descriptor_on_its_way(void) {
    int ends[2], gift[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    MUST(pipe(gift));
    MUST(write(gift[1], "hello", 5));
    int carried = gift[0];
    for (;;) {
        char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0}, text[8] = {0};
        struct iovec part = {&byte, 1};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &carried, sizeof(int));
        HOLDS(sendmsg(ends[0], &message, 0) == 1);
        close(carried);
        ok();
        memset(control, 0, sizeof control);
        HOLDS(recvmsg(ends[1], &message, 0) == 1 && (header = CMSG_FIRSTHDR(&message)) && header->cmsg_type == SCM_RIGHTS);
        memcpy(&carried, CMSG_DATA(header), sizeof(int));
        HOLDS(read(carried, text, 5) == 5 && !memcmp(text, "hello", 5) && write(gift[1], "hello", 5) == 5);
    }
}

/* One epoll over an event counter, a signal descriptor and a pipe. */
static void epoll_row(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    int ends[2], epoll = MUST(epoll_create1(EPOLL_CLOEXEC)), counter = MUST(eventfd(0, 0)),
                 signals = MUST(signalfd(-1, &set, SFD_NONBLOCK));
    MUST(pipe(ends));
    int of[3] = {counter, signals, ends[0]};
    for (int i = 0; i < 3; i++) {
        struct epoll_event event = {.events = EPOLLIN | (i == 2 ? EPOLLET : 0), .data.u64 = 100 + i};
        MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, of[i], &event));
    }
    uint64_t three = 3;
    MUST(write(counter, &three, 8));
    for (;;) {
        HOLDS(kill(getpid(), SIGUSR1) == 0 && write(ends[1], "x", 1) == 1);
        ok();
        struct epoll_event events[8];
        unsigned seen = 0;
        int count = epoll_wait(epoll, events, 8, 10000);
        for (int i = 0; i < count; i++) seen |= 1U << (events[i].data.u64 - 100);
        if (seen != 7) broken("epoll says %x of three", seen);
        struct signalfd_siginfo info;
        HOLDS(read(signals, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1);
        char byte;
        uint64_t one = 0;
        HOLDS(read(ends[0], &byte, 1) == 1);
        HOLDS(read(counter, &one, 8) == 8 && one == 3);
        HOLDS(write(counter, &one, 8) == 8);
    }
}

/* An event counter that gives one at a time. */
static void event_semaphore(void) {
    int counter = MUST(eventfd(1000, EFD_SEMAPHORE));
    for (;;) {
        uint64_t one = 0;
        HOLDS(read(counter, &one, 8) == 8);
        if (one != 1) broken("the semaphore gave %lu at once", (unsigned long)one);
        HOLDS(write(counter, &one, 8) == 8);
        ok();
    }
}

/* Shared memory, semaphores and a message queue of System V. */
static void sysv(void) {
    int memory = MUST(shmget(0x1234, 65536, IPC_CREAT | 0600)), semaphores = MUST(semget(0x1235, 3, IPC_CREAT | 0600)),
        queue = MUST(msgget(0x1236, IPC_CREAT | 0600));
    uint32_t *words = shmat(memory, NULL, 0);
    if (words == (void *)-1) cannot("shmat");
    struct {
        long kind;
        uint32_t number;
    } message = {.kind = 7};
    for (uint32_t i = 0; i < 5; i++) message.number = i, MUST(msgsnd(queue, &message, 4, 0));
    for (uint32_t round = 0;; round++) {
        for (uint32_t i = 0; i < 16384; i++) words[i] = round + i;
        MUST(semctl(semaphores, 1, SETVAL, (int)(round % 1000)));
        ok();
        for (uint32_t i = 0; i < 16384; i++)
            if (words[i] != round + i) broken("shared memory changed at %u", i);
        HOLDS(semctl(semaphores, 1, GETVAL) == (int)(round % 1000));
        HOLDS(shmget(0x1234, 65536, 0) == memory && msgget(0x1236, 0) == queue);
        HOLDS(msgrcv(queue, &message, 4, 0, 0) == 4 && message.kind == 7 && message.number == round);
        message.number = round + 5;
        HOLDS(msgsnd(queue, &message, 4, 0) == 0);
    }
}

/* Both ends of a pseudo terminal, with its settings and bytes in both directions. */
static void terminal(void) {
    int master, slave;
    struct termios settings;
    struct winsize size = {.ws_row = 33, .ws_col = 77};
    MUST(openpty(&master, &slave, NULL, NULL, NULL));
    MUST(tcgetattr(slave, &settings));
    cfmakeraw(&settings);
    MUST(tcsetattr(slave, TCSANOW, &settings));
    MUST(ioctl(slave, TIOCSWINSZ, &size));
    for (unsigned round = 0;; round++) {
        char line[32], text[64] = {0};
        int length = snprintf(line, sizeof line, "line %u", round);
        HOLDS(write(master, line, length) == length && write(slave, line, length) == length);
        ok();
        HOLDS(read(slave, text, sizeof text) == length && !memcmp(text, line, length));
        HOLDS(read(master, text, sizeof text) == length && !memcmp(text, line, length));
        HOLDS(ioctl(master, TIOCGWINSZ, &size) == 0 && size.ws_row == 33 && size.ws_col == 77);
        HOLDS(tcgetattr(slave, &settings) == 0 && !(settings.c_lflag & (ECHO | ICANON)));
    }
}

/* A ring of asynchronous input and output. */
static void aio(void) {
    aio_context_t context = 0;
    MUST(syscall(SYS_io_setup, 16, &context));
    int file = MUST(open("/tmp/aio", O_RDWR | O_CREAT | O_TRUNC, 0600));
    for (uint32_t round = 0;; round++) {
        struct iocb request = {.aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = file, .aio_buf = (uint64_t)&round, .aio_nbytes = 4,
                               .aio_data = round};
        struct iocb *requests[] = {&request};
        HOLDS(syscall(SYS_io_submit, context, 1, requests) == 1);
        struct io_event event;
        struct timespec patience = {10, 0};
        HOLDS(syscall(SYS_io_getevents, context, 1, 1, &event, &patience) == 1 && event.data == round && event.res == 4);
        uint32_t back;
        HOLDS(pread(file, &back, 4, 0) == 4 && back == round);
        ok();
    }
}

const struct row channel_rows[] = {{"pipe", pipe_row},
                                   {"fifo", fifo},
                                   {"unix-stream", unix_stream},
                                   {"unix-datagram", unix_datagram},
                                   {"unix-packets", unix_packets},
                                   {"descriptor-on-its-way", descriptor_on_its_way},
                                   {"epoll", epoll_row},
                                   {"event-semaphore", event_semaphore},
                                   {"sysv", sysv},
                                   {"terminal", terminal},
                                   {"aio", aio},
                                   {0}};
