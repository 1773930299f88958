/* What every row has: it says "ok N" again and again, or once why not. */
#ifndef ROW_H
#define ROW_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One feature: sets it up, and then looks at it for ever with ok() after each look. */
struct row {
    const char *name;
    void (*run)(void);
};

extern const struct row clock_rows[], channel_rows[], file_rows[], memory_rows[], process_rows[], self_rows[], socket_rows[],
    refused_rows[];

/* The state was as it has to be; waits a little. */
void ok(void);
/* It was not. */
_Noreturn void broken(const char *what, ...) __attribute__((format(printf, 1, 2)));
/* The machine lacks the feature. */
_Noreturn void cannot(const char *what);

/* The result of a call while setting up. */
static inline long must(const char *what, long result) {
    if (result < 0) cannot(what);
    return result;
}
#define MUST(call) must(#call, (long)(call))
/* The result of a call later on. */
#define HOLDS(condition)                                                                                                \
    do {                                                                                                                \
        errno = 0;                                                                                                      \
        if (!(condition)) broken("%s:%d: %s (%s)", __FILE_NAME__, __LINE__, #condition, strerror(errno));              \
    } while (0)

/* A child that runs `work` and then waits for ever. */
static inline pid_t child_of(void (*work)(void)) {
    pid_t child = (pid_t)MUST(fork());
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        work();
        for (;;) pause();
    }
    return child;
}
/* Memory that parent and children share. */
static inline void *shared(size_t size) {
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) cannot("mmap");
    return at;
}
/* Waits until a counter is another one than `before`; gives up after ten seconds. */
static inline unsigned changed(volatile unsigned *counter, unsigned before) {
    for (int i = 0; i < 2000 && *counter == before; i++) usleep(5000);
    if (*counter == before) broken("nothing counts any more at %u", before);
    return *counter;
}
#endif
