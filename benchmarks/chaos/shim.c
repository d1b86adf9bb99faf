/* LD_PRELOAD: records what a process does to the files below a directory, and kills it.
 *
 * Nothing happens before `chaos_start(root, log, kill_at)`. Then every change below `root` is
 * appended to `log` after it was made, and the change with the number `kill_at` is not made: the
 * process gets SIGKILL instead. The records are read by `recording.py`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct record { uint64_t op, ino, parent, number, name_size, name2_size, data_size; };

static char root[PATH_MAX];
static size_t root_size;
static int log_fd = -1;
static long kill_at, done;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define NEXT(name) ({ static __typeof__(&name) real; \
    real = real ? real : (__typeof__(&name))dlsym(RTLD_NEXT, #name); real; })

void chaos_start(const char *path, const char *log, long at) {
    snprintf(root, sizeof root, "%s", path);
    root_size = strlen(root);
    kill_at = at;
    log_fd = NEXT(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int below(const char *path) {
    return !strncmp(path, root, root_size) && (path[root_size] == '/' || !path[root_size]);
}

static int fd_path(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return below(path);
}

static int recorded(int fd) {
    char path[PATH_MAX];
    if (log_fd < 0 || fd == log_fd) return 0;
    int saved = errno, found = fd_path(fd, path);
    errno = saved;
    return found;
}

/* The directory (its inode) and the name of a path that is below the root. */
static int split(int dir, const char *path, uint64_t *parent, char *name) {
    char whole[PATH_MAX], real[PATH_MAX];
    struct stat info;
    if (log_fd < 0 || !path) return 0;
    int saved = errno, found = 0;
    if (path[0] == '/' || dir == AT_FDCWD) snprintf(whole, sizeof whole, "%s", path);
    else {
        if (!fd_path(dir, real)) { errno = saved; return 0; }
        snprintf(whole, sizeof whole, "%.2000s/%.2000s", real, path);
    }
    size_t size = strlen(whole);
    while (size > 1 && whole[size - 1] == '/') whole[--size] = 0;
    char *slash = strrchr(whole, '/');
    snprintf(name, NAME_MAX + 1, "%.255s", slash ? slash + 1 : whole);
    if (slash) *(slash == whole ? slash + 1 : slash) = 0;
    if (realpath(slash ? whole : ".", real) && below(real) && !stat(real, &info)) {
        *parent = info.st_ino;
        found = 1;
    }
    errno = saved;
    return found;
}

static void write_all(const void *data, size_t size) {
    while (size) {
        ssize_t n = NEXT(write)(log_fd, data, size);
        if (n <= 0) abort();
        data = (const char *)data + n;
        size -= n;
    }
}

static void append(char op, uint64_t ino, uint64_t parent, uint64_t number,
                   const char *name, const char *name2, const void *data, size_t size) {
    int saved = errno;
    struct record record = {op, ino, parent, number, name ? strlen(name) : 0,
                            name2 ? strlen(name2) : 0, size};
    write_all(&record, sizeof record);
    if (name) write_all(name, record.name_size);
    if (name2) write_all(name2, record.name2_size);
    write_all(data, size);
    errno = saved;
}

/* Before each change: one thread at a time, so that the order in the log is the true one. */
static void begin(void) {
    pthread_mutex_lock(&lock);
    if (++done == kill_at) kill(getpid(), SIGKILL);
}

static void end(void) { pthread_mutex_unlock(&lock); }

static uint64_t inode(int fd) {
    struct stat info;
    return fstat(fd, &info) ? 0 : info.st_ino;
}

static int do_open(int (*real)(int, const char *, int, ...), int dir, const char *path, int flags,
                   mode_t mode) {
    uint64_t parent;
    char name[NAME_MAX + 1];
    struct stat info;
    if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE
        || !split(dir, path, &parent, name))
        return real(dir, path, flags, mode);
    begin();
    int saved = errno, fresh = fstatat(dir, path, &info, AT_SYMLINK_NOFOLLOW) != 0;
    errno = saved;
    int fd = real(dir, path, flags, mode);
    if (fd >= 0 && fresh) append('C', inode(fd), parent, 0, name, 0, 0, 0);
    else if (fd >= 0 && flags & O_TRUNC) append('T', inode(fd), 0, 0, 0, 0, 0, 0);
    end();
    return fd;
}

#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { \
    va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

#define OPEN(name, more) int name(const char *path, int flags, ...) { \
    MODE return do_open(NEXT(openat), AT_FDCWD, path, flags | more, mode); }
#define OPENAT(name, more) int name(int dir, const char *path, int flags, ...) { \
    MODE return do_open(NEXT(openat), dir, path, flags | more, mode); }
OPEN(open, 0)
OPEN(open64, O_LARGEFILE)
OPENAT(openat, 0)
OPENAT(openat64, O_LARGEFILE)
int creat(const char *path, mode_t mode) {
    return do_open(NEXT(openat), AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static FILE *do_fopen(const char *path, const char *how) {
    int flags = strchr(how, '+') ? O_RDWR : *how == 'r' ? O_RDONLY : O_WRONLY;
    if (*how != 'r') flags |= O_CREAT | (*how == 'w' ? O_TRUNC : O_APPEND);
    if (strchr(how, 'x')) flags |= O_EXCL;
    if (strchr(how, 'e')) flags |= O_CLOEXEC;
    int fd = open(path, flags, 0666);
    return fd < 0 ? NULL : fdopen(fd, how);
}
FILE *fopen(const char *path, const char *how) {
    return log_fd < 0 ? NEXT(fopen)(path, how) : do_fopen(path, how);
}
FILE *fopen64(const char *path, const char *how) {
    return log_fd < 0 ? NEXT(fopen64)(path, how) : do_fopen(path, how);
}

static void wrote(int fd, uint64_t offset, const void *data, ssize_t size) {
    if (size > 0) append('W', inode(fd), 0, offset, 0, 0, data, size);
}

/* For O_APPEND too: after a write the position is its end. */
static uint64_t before(int fd, ssize_t size) {
    return (uint64_t)lseek(fd, 0, SEEK_CUR) - (size > 0 ? size : 0);
}

/* What a call wrote that had the data in several pieces or in another file. */
static void wrote_range(int fd, uint64_t offset, ssize_t size) {
    if (size <= 0) return;
    char path[64], *data = malloc(size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = NEXT(openat)(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (again < 0 || pread(again, data, size, offset) != size) abort();
    wrote(fd, offset, data, size);
    close(again);
    free(data);
}

#define CHANGE(call, note) ({ begin(); __typeof__(call) result = call; note; end(); result; })

ssize_t write(int fd, const void *data, size_t size) {
    if (!recorded(fd)) return NEXT(write)(fd, data, size);
    return CHANGE(NEXT(write)(fd, data, size), wrote(fd, before(fd, result), data, result));
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    if (!recorded(fd)) return NEXT(pwrite)(fd, data, size, offset);
    return CHANGE(NEXT(pwrite)(fd, data, size, offset), wrote(fd, offset, data, result));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return pwrite(fd, data, size, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!recorded(fd)) return NEXT(writev)(fd, parts, count);
    return CHANGE(NEXT(writev)(fd, parts, count), wrote_range(fd, before(fd, result), result));
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    if (!recorded(fd)) return NEXT(pwritev)(fd, parts, count, offset);
    return CHANGE(NEXT(pwritev)(fd, parts, count, offset), wrote_range(fd, offset, result));
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return pwritev(fd, parts, count, offset); }
ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
    if (!recorded(to)) return NEXT(sendfile)(to, from, offset, size);
    return CHANGE(NEXT(sendfile)(to, from, offset, size), wrote_range(to, before(to, result), result));
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) { return sendfile(to, from, offset, size); }
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) {
    if (!recorded(to)) return NEXT(copy_file_range)(from, a, to, b, size, flags);
    return CHANGE(NEXT(copy_file_range)(from, a, to, b, size, flags),
                  wrote_range(to, b ? (uint64_t)*b - (result > 0 ? result : 0) : before(to, result), result));
}
size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
    size_t result = NEXT(fwrite)(data, size, count, file);
    if (log_fd < 0 || !recorded(fileno(file))) return result;
    /* What stdio holds would reach the file by calls that cannot be seen. */
    begin();
    uint64_t start = lseek(fileno(file), 0, SEEK_CUR);
    fflush(file);
    wrote_range(fileno(file), start, lseek(fileno(file), 0, SEEK_CUR) - start);
    end();
    return result;
}

static void resized(int fd, int result) {
    struct stat info;
    if (!result && !fstat(fd, &info)) append('T', info.st_ino, 0, info.st_size, 0, 0, 0, 0);
}
int ftruncate(int fd, off_t size) {
    if (!recorded(fd)) return NEXT(ftruncate)(fd, size);
    return CHANGE(NEXT(ftruncate)(fd, size), resized(fd, result));
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
int fallocate(int fd, int mode, off_t offset, off_t size) {
    if (!recorded(fd)) return NEXT(fallocate)(fd, mode, offset, size);
    return CHANGE(NEXT(fallocate)(fd, mode, offset, size), resized(fd, result));
}
int fallocate64(int fd, int mode, off64_t offset, off64_t size) { return fallocate(fd, mode, offset, size); }
int posix_fallocate(int fd, off_t offset, off_t size) {
    if (!recorded(fd)) return NEXT(posix_fallocate)(fd, offset, size);
    return CHANGE(NEXT(posix_fallocate)(fd, offset, size), resized(fd, result));
}
int posix_fallocate64(int fd, off64_t offset, off64_t size) { return posix_fallocate(fd, offset, size); }

int fsync(int fd) {
    if (!recorded(fd)) return NEXT(fsync)(fd);
    /* The disk itself need not be waited for. */
    return CHANGE(fcntl(fd, F_GETFD) < 0 ? -1 : 0,
                  if (!result) append('F', inode(fd), 0, 0, 0, 0, 0, 0));
}
int fdatasync(int fd) { return recorded(fd) ? fsync(fd) : NEXT(fdatasync)(fd); }

/* From outside or to outside does not occur: state is renamed within its directory. */
int renameat2(int from, const char *a, int to, const char *b, unsigned flags) {
    uint64_t old, new;
    char name[NAME_MAX + 1], name2[NAME_MAX + 1];
    if (!split(from, a, &old, name) || !split(to, b, &new, name2))
        return NEXT(renameat2)(from, a, to, b, flags);
    return CHANGE(NEXT(renameat2)(from, a, to, b, flags),
                  if (!result) append('R', 0, old, new, name, name2, 0, 0));
}
int renameat(int from, const char *a, int to, const char *b) { return renameat2(from, a, to, b, 0); }
int rename(const char *a, const char *b) { return renameat2(AT_FDCWD, a, AT_FDCWD, b, 0); }

int linkat(int from, const char *a, int to, const char *b, int flags) {
    uint64_t new;
    char name[NAME_MAX + 1];
    struct stat info;
    if (!split(to, b, &new, name)) return NEXT(linkat)(from, a, to, b, flags);
    return CHANGE(NEXT(linkat)(from, a, to, b, flags), if (!result && !fstatat(to, b, &info, 0))
                  append('L', info.st_ino, new, 0, name, 0, 0, 0));
}
int link(const char *a, const char *b) { return linkat(AT_FDCWD, a, AT_FDCWD, b, 0); }

int unlinkat(int dir, const char *path, int flags) {
    uint64_t parent;
    char name[NAME_MAX + 1];
    if (!split(dir, path, &parent, name)) return NEXT(unlinkat)(dir, path, flags);
    return CHANGE(NEXT(unlinkat)(dir, path, flags),
                  if (!result) append('U', 0, parent, 0, name, 0, 0, 0));
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    struct stat info;
    return lstat(path, &info) || !S_ISDIR(info.st_mode) ? unlink(path) : rmdir(path);
}

int mkdirat(int dir, const char *path, mode_t mode) {
    uint64_t parent;
    char name[NAME_MAX + 1];
    struct stat info;
    if (!split(dir, path, &parent, name)) return NEXT(mkdirat)(dir, path, mode);
    return CHANGE(NEXT(mkdirat)(dir, path, mode), if (!result && !fstatat(dir, path, &info, 0))
                  append('D', info.st_ino, parent, 0, name, 0, 0, 0));
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
