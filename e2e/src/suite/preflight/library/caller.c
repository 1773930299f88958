/* Calls a library of its node again and again, one function from the start and another once /tmp/call is there, and says in /tmp/said what they give. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int foo_old(void);
int foo_new(void);

int main(void) {
    for (unsigned long round = 1;; round++) {
        struct stat found;
        int old = foo_old(), new = stat("/tmp/call", &found) == 0 ? foo_new() : 0;
        FILE *said = fopen("/tmp/saying", "w");
        if (!said || fprintf(said, "%lu %d %d\n", round, old, new) < 0 || fclose(said) || rename("/tmp/saying", "/tmp/said"))
            return 1;
        usleep(20000);
    }
}
