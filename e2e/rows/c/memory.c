/* Memory, and how threads and processes meet in it. */
#include "row.h"
#include <semaphore.h>
#include <setjmp.h>

static void *region(size_t size, int flags, int file) {
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, file, 0);
    if (at == MAP_FAILED) cannot("mmap");
    return at;
}

/* Fills a region in turn, and looks whether it is still what it was. */
static void pattern(uint32_t *words, size_t count) {
    for (uint32_t round = 0;; round++) {
        for (size_t i = 0; i < count; i += 512) words[i] = round ^ (uint32_t)i;
        ok();
        for (size_t i = 0; i < count; i += 512)
            if (words[i] != (round ^ (uint32_t)i)) broken("memory changed at word %zu", i);
    }
}

/* Sealed against growing, with a second mapping. */
static void memfd(void) {
    int file = (int)MUST(memfd_create("row", MFD_ALLOW_SEALING));
    MUST(ftruncate(file, 1 << 20));
    MUST(fcntl(file, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK));
    uint32_t *one = region(1 << 20, MAP_SHARED, file), *two = region(1 << 20, MAP_SHARED, file);
    for (uint32_t round = 0;; round++) {
        one[round % 1000] = round;
        ok();
        HOLDS(two[round % 1000] == round && fcntl(file, F_GET_SEALS) == (F_SEAL_GROW | F_SEAL_SHRINK));
        HOLDS(ftruncate(file, 2 << 20) < 0);
    }
}

/* Counts in memory that another process sees. */
static volatile unsigned *board;
static void answer(void) {
    for (;; usleep(1000)) board[1] = board[0];
}
static void answered(void) {
    child_of(answer);
    for (unsigned round = 1;; round++) {
        board[0] = round;
        for (int i = 0; i < 5000 && board[1] != round; i++) usleep(1000);
        HOLDS(board[1] == round);
        ok();
    }
}
static void shm_open_row(void) {
    int file = (int)MUST(shm_open("/row", O_CREAT | O_RDWR, 0600));
    MUST(ftruncate(file, 4096));
    board = region(4096, MAP_SHARED, file);
    answered();
}
static void shared_anonymous(void) {
    board = shared(4096);
    answered();
}

/* A mutex and a semaphore that two processes share. */
static struct both {
    pthread_mutex_t mutex;
    sem_t ping, pong;
    unsigned count;
} *both;
static void serve(void) {
    for (;;) {
        sem_wait(&both->ping);
        pthread_mutex_lock(&both->mutex);
        both->count++;
        pthread_mutex_unlock(&both->mutex);
        sem_post(&both->pong);
    }
}
static void process_shared(void) {
    both = shared(sizeof *both);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&both->mutex, &attributes);
    sem_init(&both->ping, 1, 0);
    sem_init(&both->pong, 1, 0);
    child_of(serve);
    for (unsigned round = 1;; round++) {
        sem_post(&both->ping);
        ok();
        while (sem_wait(&both->pong) < 0) {}
        HOLDS(both->count == round);
    }
}

/* A thread holds a robust mutex and dies at some time: the next one is told. */
static pthread_mutex_t robust;
static volatile unsigned rest;
static void *holder(void *nothing) {
    pthread_mutex_lock(&robust);
    rest = 1;
    while (rest != 2) usleep(1000);
    return nothing;
}
static void robust_mutex(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attributes);
    for (;;) {
        pthread_t thread;
        rest = 0;
        HOLDS(pthread_create(&thread, NULL, holder, NULL) == 0);
        while (rest != 1) usleep(1000);
        ok();
        rest = 2;
        pthread_join(thread, NULL);
        HOLDS(pthread_mutex_lock(&robust) == EOWNERDEAD);
        HOLDS(pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
    }
}

/* Threads that hand a number around by condition variables, each with its own thread-local count. */
#define THREADS 8
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static volatile unsigned turn;
static _Thread_local unsigned own;
static void *player(void *number) {
    for (unsigned me = (unsigned)(uintptr_t)number;;) {
        pthread_mutex_lock(&lock);
        while (turn % THREADS != me) pthread_cond_wait(&turned, &lock);
        if (++own != turn / THREADS + 1) broken("thread %u has counted %u of %u", me, own, turn / THREADS + 1);
        turn++;
        pthread_cond_broadcast(&turned);
        pthread_mutex_unlock(&lock);
        usleep(2000);
    }
}
static void threads(void) {
    pthread_t thread;
    for (uintptr_t i = 0; i < THREADS; i++) MUST(-pthread_create(&thread, NULL, player, (void *)i));
    for (unsigned seen = 0;;) {
        seen = changed(&turn, seen);
        ok();
    }
}

static void huge_pages(void) {
    char *at = region(8 << 20, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    uint32_t *words = (void *)(((uintptr_t)at + (2 << 20) - 1) & ~((uintptr_t)(2 << 20) - 1));
    MUST(madvise(words, 4 << 20, MADV_HUGEPAGE));
    pattern(words, 1 << 20);
}

static void locked_memory(void) {
    uint32_t *words = region(1 << 20, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    MUST(mlock(words, 1 << 20));
    for (uint32_t round = 0;; round++) {
        words[1000] = round;
        ok();
        char line[256];
        long locked = 0;
        FILE *status = fopen("/proc/self/status", "r");
        while (status && fgets(line, sizeof line, status)) sscanf(line, "VmLck: %ld", &locked);
        fclose(status);
        HOLDS(words[1000] == round && locked == 1024);
    }
}

/* A page that may not be read, and one that may not be written; who touches them is told where. */
static sigjmp_buf back;
static void *volatile fault;
static void on_fault(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    fault = info->si_addr;
    siglongjmp(back, 1);
}
static void protected_memory(void) {
    char *pages = region(4 * 4096, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    strcpy(pages + 4096, "read only");
    MUST(mprotect(pages + 4096, 4096, PROT_READ));
    MUST(mprotect(pages + 8192, 4096, PROT_NONE));
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    MUST(sigaction(SIGSEGV, &action, NULL));
    for (;;) {
        HOLDS(!strcmp(pages + 4096, "read only"));
        for (int page = 1; page <= 2; page++) {
            fault = NULL;
            if (!sigsetjmp(back, 1)) {
                if (page == 1) *(volatile char *)(pages + 4096) = 'x';
                if (page == 2) (void)*(volatile char *)(pages + 8192);
            }
            HOLDS(fault == pages + 4096 * page);
        }
        ok();
    }
}

/* Mappings that a process asked to keep from its children, or to give them empty. */
static void advised(void) {
    char *pages = region(3 * 4096, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    memset(pages, 'a', 3 * 4096);
    MUST(madvise(pages, 4096, MADV_WIPEONFORK));
    MUST(madvise(pages + 4096, 4096, MADV_DONTFORK));
    for (;;) {
        pid_t child = fork();
        if (child == 0) {
            unsigned char resident;
            int right = pages[0] == 0 && pages[8192] == 'a' && mincore(pages + 4096, 4096, &resident) < 0;
            _exit(right ? 0 : 1);
        }
        int status;
        HOLDS(waitpid(child, &status, 0) == child && status == 0);
        HOLDS(pages[0] == 'a' && pages[4096] == 'a');
        ok();
    }
}

/* A program that makes code and calls it, as runtimes with a compiler do. */
static void generated_code(void) {
    unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED) cannot("mmap");
    for (uint32_t round = 0;; round++) {
#if defined(__x86_64__)
        unsigned char made[6] = {0xb8, 0, 0, 0, 0, 0xc3};
        memcpy(made + 1, &round, 4);
#else
        uint32_t made[2] = {0x52800000U | (round & 0xffff) << 5, 0xd65f03c0U};
#endif
        memcpy(code, made, sizeof made);
        __builtin___clear_cache((char *)code, (char *)code + 16);
        ok();
        uint32_t (*function)(void) = (void *)code;
        HOLDS((function() & 0xffff) == (round & 0xffff));
    }
}

const struct row memory_rows[] = {{"memfd", memfd},
                                  {"shm_open", shm_open_row},
                                  {"shared-anonymous", shared_anonymous},
                                  {"process-shared", process_shared},
                                  {"robust-mutex", robust_mutex},
                                  {"threads", threads},
                                  {"huge-pages", huge_pages},
                                  {"locked-memory", locked_memory},
                                  {"protected-memory", protected_memory},
                                  {"advised-memory", advised},
                                  {"generated-code", generated_code},
                                  {0}};
