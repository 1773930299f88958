/* Small programs that use one feature each: `c-rows NAME`. */
#include "row.h"
#include <stdarg.h>

static unsigned rounds;

void ok(void) {
    printf("ok %u\n", ++rounds);
    fflush(stdout);
    struct timespec left = {0, 50 * 1000 * 1000};
    while (nanosleep(&left, &left) < 0) {}
}

_Noreturn void broken(const char *what, ...) {
    va_list words;
    va_start(words, what);
    printf("BROKEN: after %u rounds: ", rounds);
    vprintf(what, words);
    printf("\n");
    fflush(stdout);
    _exit(1);
}

_Noreturn void cannot(const char *what) {
    printf("CANNOT: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

int main(int count, char **words) {
    const struct row *all[] = {clock_rows,   channel_rows, file_rows,   memory_rows,
                               process_rows, self_rows,    socket_rows, refused_rows};
    for (size_t i = 0; count == 2 && i < sizeof all / sizeof *all; i++)
        for (const struct row *row = all[i]; row->name; row++)
            if (!strcmp(row->name, words[1])) row->run();
    errno = ENOENT;
    cannot("find the row");
}
