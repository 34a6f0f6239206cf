/* Loaded before a server's own libraries: its fsync takes longer, and its wall clock is elsewhere, as two files say. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Milliseconds in the file that the variable names. No malloc: jemalloc asks for the time itself. */
static long milliseconds(const char *variable) {
    char text[32] = "";
    const char *path = getenv(variable);
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    return strtol(text, NULL, 10);
}

static long disk(void) { return milliseconds("STOREHOP_TEST_DISK"); }

static int after_waiting(const char *name, int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    long delay = disk();
    if (delay > 0) usleep(delay * 1000);
    while (delay < 0 && disk() < 0) usleep(5000);
    return real(file);
}

int fsync(int file) { return after_waiting("fsync", file); }
int fdatasync(int file) { return after_waiting("fdatasync", file); }

int clock_gettime(clockid_t clock, struct timespec *at) {
    int result = syscall(SYS_clock_gettime, clock, at);
    if (clock == CLOCK_REALTIME && result == 0) at->tv_sec += milliseconds("STOREHOP_TEST_CLOCK") / 1000;
    return result;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
