/*
 * Preloaded into CRIU on test machines whose root lacks CAP_SYS_RESOURCE, and nowhere else.
 *
 * There prlimit64(2) refuses to read the limits of a process of another user, so CRIU could dump nothing that runs as
 * one. /proc/PID/limits tells root the same. Only a refused read is answered from there; everything else is the
 * kernel's business.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In the order of the RLIMIT_ numbers; each as /proc/PID/limits (fs/proc/base.c) writes it. */
static const char *const names[] = {
	"Max cpu time", "Max file size", "Max data size", "Max stack size", "Max core file size", "Max resident set",
	"Max processes", "Max open files", "Max locked memory", "Max address space", "Max file locks",
	"Max pending signals", "Max msgqueue size", "Max nice priority", "Max realtime priority", "Max realtime timeout",
};
/* Where the two values of a line start. */
#define VALUES 26

/* The system call itself: syscall(3) of the C library is hidden by the one below. */
static long enter(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long result __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(result) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
#else
#error "write the system call of this architecture"
#endif
	if (result < 0 && result > -4096) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

static rlim_t value(const char *text)
{
	return strcmp(text, "unlimited") == 0 ? RLIM_INFINITY : strtoull(text, NULL, 10);
}

static int from_proc(pid_t pid, unsigned int resource, struct rlimit64 *limit)
{
	char path[64], line[256], soft[32], hard[32];
	int found = -1;

	snprintf(path, sizeof(path), "/proc/%d/limits", pid);
	FILE *file = fopen(path, "r");
	if (!file)
		return -1;
	size_t length = strlen(names[resource]);
	while (found != 0 && fgets(line, sizeof(line), file)) {
		if (strncmp(line, names[resource], length) != 0 || line[length] != ' ' || strlen(line) <= VALUES)
			continue;
		if (sscanf(line + VALUES, "%31s %31s", soft, hard) != 2)
			break;
		limit->rlim_cur = value(soft);
		limit->rlim_max = value(hard);
		found = 0;
	}
	fclose(file);
	return found;
}

int prlimit64(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *fresh, struct rlimit64 *old)
{
	long result = enter(SYS_prlimit64, pid, resource, (long)fresh, (long)old, 0, 0);

	if (result == 0 || errno != EPERM || fresh || !old || (size_t)resource >= sizeof(names) / sizeof(names[0]))
		return (int)result;
	if (from_proc(pid, resource, old) == 0)
		return 0;
	errno = EPERM;
	return -1;
}

/* CRIU calls prlimit64 by its number. */
long syscall(long number, ...)
{
	va_list list;

	va_start(list, number);
	long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
	long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
	va_end(list);
	if (number == SYS_prlimit64)
		return prlimit64((pid_t)a, (enum __rlimit_resource)b, (void *)c, (void *)d);
	return enter(number, a, b, c, d, e, f);
}
