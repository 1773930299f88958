/* Open files, and what is tied to them. */
#include "row.h"
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>

static int new_file(const char *path) { return (int)MUST(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600)); }

/* A file that has no name any more: it keeps a number at each of 1000 places. */
static void nameless(int file) {
    uint32_t round = 0;
    for (uint32_t i = 0; i < 1000; i++) MUST(pwrite(file, &i, 4, i * 4096));
    for (;; round++) {
        uint32_t at = round % 1000, got, is = round < 1000 ? at : round - 1000, next = round;
        HOLDS(pread(file, &got, 4, at * 4096) == 4 && got == is);
        HOLDS(pwrite(file, &next, 4, at * 4096) == 4);
        struct stat stat;
        HOLDS(fstat(file, &stat) == 0 && stat.st_nlink == 0 && stat.st_size == 999 * 4096 + 4);
        ok();
    }
}
static void deleted(void) {
    int file = new_file("/tmp/deleted");
    MUST(unlink("/tmp/deleted"));
    nameless(file);
}
static void tmpfile_row(void) { nameless((int)MUST(open("/tmp", O_TMPFILE | O_RDWR, 0600))); }

/* Offset, flags of the description, one description under two numbers. */
static void offsets(void) {
    int file = (int)MUST(open("/tmp/offsets", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600)), twin = (int)MUST(dup(file));
    MUST(fcntl(twin, F_SETFD, FD_CLOEXEC));
    for (off_t round = 1;; round++) {
        HOLDS(write(file, "0123456789", 10) == 10);
        ok();
        HOLDS(lseek(twin, 0, SEEK_CUR) == 10 * round && (fcntl(twin, F_GETFL) & O_APPEND));
        HOLDS(fcntl(twin, F_GETFD) == FD_CLOEXEC && fcntl(file, F_GETFD) == 0);
    }
}

static void sparse(void) {
    int file = new_file("/tmp/sparse");
    MUST(ftruncate(file, 1L << 30));
    MUST(pwrite(file, "middle", 6, 1L << 29));
    for (;;) {
        struct stat stat;
        char text[8] = {0};
        HOLDS(fstat(file, &stat) == 0 && stat.st_size == 1L << 30 && stat.st_blocks < 4096);
        HOLDS(pread(file, text, 6, 1L << 29) == 6 && !strcmp(text, "middle"));
        ok();
    }
}

/* Written to by memory, read by the file, and the other way round; and pages of a private mapping that were changed. */
static void mapped(void) {
    int file = new_file("/tmp/mapped");
    MUST(ftruncate(file, 1 << 20));
    uint32_t *all = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
             *own = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    if (all == MAP_FAILED || own == MAP_FAILED) cannot("mmap");
    own[5] = 77;
    for (uint32_t round = 0;; round++) {
        uint32_t at = round % 200 * 1024, got, more = round + 1;
        all[at] = round;
        HOLDS(pwrite(file, &more, 4, at * 4 + 4) == 4);
        ok();
        HOLDS(pread(file, &got, 4, at * 4) == 4 && got == round && all[at + 1] == round + 1);
        HOLDS(own[5] == 77 && all[5] == 0);
    }
}

/* A lock of each kind; a child must not get them. */
static volatile unsigned *tries;
static void try_locks(void) {
    struct flock record = {.l_type = F_WRLCK, .l_start = 10, .l_len = 10};
    for (;;) {
        int one = open("/tmp/flocked", O_RDWR), two = open("/tmp/recorded", O_RDWR), three = open("/tmp/described", O_RDWR);
        int got = 0;
        got |= flock(one, LOCK_EX | LOCK_NB) == 0 ? 1 : 0;
        got |= fcntl(two, F_SETLK, &record) == 0 ? 2 : 0;
        record.l_pid = 0;
        got |= fcntl(three, F_OFD_SETLK, &record) == 0 ? 4 : 0;
        close(one), close(two), close(three);
        if (got) tries[1] = got;
        tries[0]++;
        usleep(20000);
    }
}
static void locks(void) {
    tries = shared(4096);
    int one = new_file("/tmp/flocked"), two = new_file("/tmp/recorded"), three = new_file("/tmp/described");
    struct flock record = {.l_type = F_WRLCK, .l_start = 5, .l_len = 10};
    MUST(flock(one, LOCK_EX));
    MUST(fcntl(two, F_SETLK, &record));
    MUST(fcntl(three, F_OFD_SETLK, &record));
    child_of(try_locks);
    for (unsigned seen = 0;;) {
        seen = changed(tries, seen);
        if (tries[1]) broken("a child got locks %x (1 flock, 2 record, 4 description)", tries[1]);
        ok();
    }
}

/* Watches a directory: each file that is made in it has to be told. */
static void watch(const char *directory) {
    int group = (int)MUST(inotify_init1(IN_NONBLOCK));
    int mark = (int)MUST(inotify_add_watch(group, directory, IN_CREATE));
    for (unsigned round = 0;; round++) {
        char path[64], name[16], buffer[4096] __attribute__((aligned(8)));
        snprintf(name, sizeof name, "f%u", round);
        snprintf(path, sizeof path, "%s/%s", directory, name);
        close((int)open(path, O_CREAT | O_RDWR, 0600));
        int found = 0;
        struct pollfd ready = {.fd = group, .events = POLLIN};
        while (!found) {
            if (poll(&ready, 1, 5000) != 1) broken("nothing is told of %s", name);
            ssize_t length = read(group, buffer, sizeof buffer);
            for (ssize_t at = 0; at < length;) {
                struct inotify_event *event = (void *)(buffer + at);
                found |= event->wd == mark && event->len && !strcmp(event->name, name);
                at += sizeof *event + event->len;
            }
        }
        unlink(path);
        ok();
    }
}
static void inotify_volume(void) { watch("/volume"); }
static void inotify_memory(void) { watch("/dev/shm"); }
static void inotify_own(void) {
    MUST(mkdir("/tmp/watched", 0700));
    watch("/tmp/watched");
}

/* From a file into a socket; the file's position goes on. */
static void sendfile_row(void) {
    int file = new_file("/tmp/sent"), ends[2];
    for (uint32_t i = 0; i < 100000; i++) MUST(write(file, &i, 4));
    MUST(lseek(file, 0, SEEK_SET));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    for (uint32_t wanted = 0;; wanted++) {
        if (wanted >= 100000) wanted = 0, MUST(lseek(file, 0, SEEK_SET));
        HOLDS(sendfile(ends[0], file, NULL, 4) == 4);
        ok();
        uint32_t got;
        HOLDS(read(ends[1], &got, 4) == 4 && got == wanted);
    }
}

/* Files of the kernel that stay open. */
static void kernel_files(void) {
    int limits = (int)MUST(open("/proc/self/cgroup", O_RDONLY)), memory = (int)MUST(open("/proc/meminfo", O_RDONLY)),
        host = (int)MUST(open("/proc/sys/kernel/hostname", O_RDONLY));
    char before[256] = {0}, now[4096];
    MUST(pread(host, before, 255, 0));
    for (;;) {
        memset(now, 0, sizeof now);
        HOLDS(pread(host, now, 255, 0) > 0 && !strcmp(before, now));
        HOLDS(pread(memory, now, 4000, 0) > 0 && strstr(now, "MemTotal"));
        HOLDS(pread(limits, now, 4000, 0) > 0 && strchr(now, ':'));
        ok();
    }
}

/* A working directory that was removed. */
static void removed_directory(void) {
    MUST(mkdir("/tmp/gone", 0700));
    MUST(chdir("/tmp/gone"));
    MUST(rmdir("/tmp/gone"));
    for (;;) {
        struct stat stat_of;
        char path[128];
        HOLDS(stat(".", &stat_of) == 0 && S_ISDIR(stat_of.st_mode));
        HOLDS(readlink("/proc/self/cwd", path, sizeof path) > 0 && strstr(path, "gone"));
        ok();
    }
}

const struct row file_rows[] = {{"deleted-file", deleted},
                                {"tmpfile", tmpfile_row},
                                {"offsets", offsets},
                                {"sparse-file", sparse},
                                {"mapped-file", mapped},
                                {"file-locks", locks},
                                {"inotify-volume", inotify_volume},
                                {"inotify-memory", inotify_memory},
                                {"inotify-own", inotify_own},
                                {"sendfile", sendfile_row},
                                {"kernel-files", kernel_files},
                                {"removed-directory", removed_directory},
                                {0}};
