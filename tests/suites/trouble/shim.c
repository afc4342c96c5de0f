// A file system in trouble: loaded into the real trainer, it refuses, cuts short or delays calls on files of one folder.
//
// The faults depend on the seed, the process's number (the first is 0) and the number of the call in it. Settings from the
// environment: SHIM_ROOT, the folder; SHIM_STATE, a folder for numbers and for `told`, a line for each refusal; SHIM_SEED;
// SHIM_ERRNOS, "5,116"; SHIM_REFUSE, SHIM_CUT, SHIM_HOLD, rates in a million calls.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILES = 65536, ERRNOS = 16 };

static char root[4096];
static size_t root_length;
static uint64_t stream;
static atomic_uint_fast64_t calls;
static unsigned refuse, cut, hold;
static int errnos[ERRNOS], errno_count, told = -1;
// The open files in the folder.
static _Atomic unsigned char inside[FILES];

// The C library's own function.
#define REAL(name)                                                                                  \
    ({                                                                                              \
        static __typeof__(&name) found_##name;                                                      \
        if (!found_##name) found_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name);               \
        found_##name;                                                                               \
    })

static unsigned number(const char *name) {
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 10) : 0;
}

static uint64_t mixed(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("SHIM_ROOT"), *state = getenv("SHIM_STATE"), *list = getenv("SHIM_ERRNOS");
    if (!folder || !state || !list) return;
    char path[4200];
    unsigned process = 0;
    for (int file = -1; file < 0; process++) {
        snprintf(path, sizeof path, "%s/%u", state, process);
        file = REAL(open64)(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (file < 0 && errno != EEXIST) return;
        if (file >= 0) close(file);
    }
    snprintf(path, sizeof path, "%s/told", state);
    told = REAL(open64)(path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
    stream = mixed(number("SHIM_SEED")) ^ mixed(process);
    refuse = number("SHIM_REFUSE"), cut = number("SHIM_CUT"), hold = number("SHIM_HOLD");
    for (char *end; *list && errno_count < ERRNOS; list = *end ? end + 1 : end) {
        errnos[errno_count++] = (int)strtol(list, &end, 10);
    }
    snprintf(root, sizeof root, "%s/", folder);
    root_length = strlen(root);
}

static int is_inside(const char *path) {
    return root_length && path && strncmp(path, root, root_length) == 0;
}

static int is_open_inside(int file) {
    return root_length && file >= 0 && file < FILES && inside[file];
}

// Sometimes delays the call; returns whether it is refused, with errno set.
static int refused(const char *call, const char *path) {
    uint64_t drawn = mixed(stream + atomic_fetch_add(&calls, 1));
    if (drawn % 1000000 < hold) {
        struct timespec time = {0, (long)(1 + (drawn >> 24) % 40) * 1000000};
        nanosleep(&time, NULL);
    }
    drawn = mixed(drawn);
    if (drawn % 1000000 >= refuse || !errno_count) return 0;
    int why = errnos[(drawn >> 32) % errno_count];
    char line[4400];
    int length = snprintf(line, sizeof line, "%s %d %s\n", call, why, path ? path : "");
    if (told >= 0 && REAL(write)(told, line, length) < 0) told = -1;
    errno = why;
    return 1;
}

// The length of a read after a cut.
static size_t arrives(size_t bytes) {
    uint64_t drawn = mixed(stream + atomic_fetch_add(&calls, 1));
    return bytes > 1 && drawn % 1000000 < cut ? 1 + (drawn >> 24) % (bytes - 1) : bytes;
}

static int opened(int file, const char *path) {
    if (file >= 0 && file < FILES) inside[file] = is_inside(path);
    return file;
}

#define OPEN(name)                                                                                  \
    int name(const char *path, int flags, ...) {                                                    \
        va_list rest;                                                                               \
        va_start(rest, flags);                                                                      \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                     \
        va_end(rest);                                                                               \
        if (is_inside(path) && refused("open", path)) return -1;                                    \
        return opened(REAL(name)(path, flags, mode), path);                                         \
    }
OPEN(open)
OPEN(open64)

int close(int file) {
    if (file >= 0 && file < FILES) inside[file] = 0;
    return REAL(close)(file);
}

ssize_t read(int file, void *bytes, size_t length) {
    if (!is_open_inside(file)) return REAL(read)(file, bytes, length);
    return refused("read", NULL) ? -1 : REAL(read)(file, bytes, arrives(length));
}

ssize_t pread64(int file, void *bytes, size_t length, off64_t at) {
    if (!is_open_inside(file)) return REAL(pread64)(file, bytes, length, at);
    return refused("read", NULL) ? -1 : REAL(pread64)(file, bytes, arrives(length), at);
}

ssize_t write(int file, const void *bytes, size_t length) {
    if (!is_open_inside(file)) return REAL(write)(file, bytes, length);
    return refused("write", NULL) ? -1 : REAL(write)(file, bytes, arrives(length));
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
    if (!is_open_inside(file)) return REAL(pwrite64)(file, bytes, length, at);
    return refused("write", NULL) ? -1 : REAL(pwrite64)(file, bytes, arrives(length), at);
}

#define ON_FILE(name, arguments, values)                                                            \
    int name arguments {                                                                            \
        return is_open_inside(file) && refused(#name, NULL) ? -1 : REAL(name) values;               \
    }
ON_FILE(fsync, (int file), (file))
ON_FILE(fdatasync, (int file), (file))
ON_FILE(flock, (int file, int what), (file, what))
ON_FILE(ftruncate64, (int file, off64_t length), (file, length))

#define ON_PATH(name, arguments, values)                                                            \
    int name arguments {                                                                            \
        return is_inside(path) && refused(#name, path) ? -1 : REAL(name) values;                    \
    }
ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode))
ON_PATH(rmdir, (const char *path), (path))
ON_PATH(unlink, (const char *path), (path))
ON_PATH(rename, (const char *from, const char *path), (from, path))
ON_PATH(stat64, (const char *path, struct stat64 *found), (path, found))
ON_PATH(lstat64, (const char *path, struct stat64 *found), (path, found))
ON_PATH(linkat, (int a, const char *from, int b, const char *path, int flags), (a, from, b, path, flags))

int statx(int file, const char *path, int flags, unsigned mask, struct statx *found) {
    // The header promises a path; the standard library of Rust calls it without one.
    const char *volatile name = path;
    int ours = is_inside(name) || (name && !*name && is_open_inside(file));
    return ours && refused("stat", name) ? -1 : REAL(statx)(file, path, flags, mask, found);
}

DIR *opendir(const char *path) {
    return is_inside(path) && refused("opendir", path) ? NULL : REAL(opendir)(path);
}

void *mmap64(void *at, size_t length, int protection, int flags, int file, off64_t offset) {
    return is_open_inside(file) && refused("mmap", NULL)
        ? MAP_FAILED : REAL(mmap64)(at, length, protection, flags, file, offset);
}
