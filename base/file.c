#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static Status open_regular(int *fd, struct stat *st, const char *path) {
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) {
        if (errno == ENOENT) return status_error(E_INPUT, "%s: no such file", path);
        return status_errno(errno, "%s: cannot open", path);
    }
    if (fstat(*fd, st) != 0) {
        int err = errno;
        close(*fd);
        return status_errno(err, "%s: cannot stat", path);
    }
    if (!S_ISREG(st->st_mode)) {
        close(*fd);
        return status_error(E_INPUT, "%s: not a regular file", path);
    }
    return OK;
}

Status file_map(FileMap *out, const char *path) {
    int fd;
    struct stat st;
    out->data = NULL;
    out->size = 0;
    TRY(open_regular(&fd, &st, path));
    Status s = OK;
    if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            s = status_errno(errno, "%s: cannot map", path);
        else {
            out->data = p;
            out->size = (size_t)st.st_size;
        }
    }
    close(fd);
    return s;
}

void file_unmap(FileMap *m) {
    if (m->data) munmap((void *)m->data, m->size);
    m->data = NULL;
    m->size = 0;
}

Status file_read(char **out, size_t *n, const char *path, size_t max) {
    int fd;
    struct stat st;
    *out = NULL;
    TRY(open_regular(&fd, &st, path));
    if ((uint64_t)st.st_size > max) {
        close(fd);
        return status_error(E_INPUT, "%s: %lld bytes, at most %zu are accepted here", path,
                            (long long)st.st_size, max);
    }
    size_t size = (size_t)st.st_size, got = 0;
    char *buf = malloc(size + 1);
    Status s = buf ? OK : status_error(E_ENV, "%s: no memory for its %zu bytes", path, size);
    while (buf && got < size) {
        ssize_t r = read(fd, buf + got, size - got);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) s = status_errno(errno, "%s: cannot read", path);
        if (r <= 0) break;
        got += (size_t)r;
    }
    close(fd);
    if (!status_is_ok(s)) {
        free(buf);
        return s;
    }
    buf[got] = 0;
    *out = buf;
    if (n) *n = got;
    return OK;
}

static Status write_all(int fd, const void *data, size_t n, const char *path) {
    const char *p = data;
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return status_errno(errno, "%s: cannot write", path);
        p += w;
        n -= (size_t)w;
    }
    if (fsync(fd) != 0) return status_errno(errno, "%s: cannot flush to disk", path);
    return OK;
}

Status file_sync_dir(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return status_errno(errno, "%s: cannot open directory", path);
    int rc = fsync(fd), err = errno;
    close(fd);
    if (rc != 0 && err != EINVAL) return status_errno(err, "%s: cannot flush directory", path);
    return OK;
}

static Status sync_parent(const char *path) {
    char dir[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof dir) return status_error(E_INPUT, "%s: path too long", path);
    memcpy(dir, path, len + 1);
    char *slash = strrchr(dir, '/');
    if (!slash) return file_sync_dir(".");
    slash[slash == dir] = 0;
    return file_sync_dir(dir);
}

Status file_write_atomic(const char *path, const void *data, size_t n) {
    char tmp[PATH_MAX];
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp.%ld", path, (long)getpid()) >= sizeof tmp)
        return status_error(E_INPUT, "%s: path too long", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return status_errno(errno, "%s: cannot create", tmp);
    Status s = write_all(fd, data, n, tmp);
    if (close(fd) != 0 && status_is_ok(s)) s = status_errno(errno, "%s: cannot close", tmp);
    if (status_is_ok(s) && rename(tmp, path) != 0)
        s = status_errno(errno, "%s: cannot rename to %s", tmp, path);
    if (!status_is_ok(s)) {
        unlink(tmp);
        return s;
    }
    return sync_parent(path);
}

Status file_mkdirs(const char *path) {
    char buf[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof buf) return status_error(E_INPUT, "cannot make directory '%s'", path);
    memcpy(buf, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (buf[i] != '/' && buf[i] != 0) continue;
        char c = buf[i];
        buf[i] = 0;
        if (mkdir(buf, 0777) != 0 && errno != EEXIST)
            return status_errno(errno, "%s: cannot make directory", buf);
        buf[i] = c;
    }
    if (!file_is_dir(path)) return status_error(E_ENV, "%s: exists and is not a directory", path);
    return OK;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

Status file_remove_tree(const char *path) {
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return status_errno(errno, "%s: cannot remove", path);
    return OK;
}

bool file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

void sha256_hex(char out[65], const void *data, size_t n) {
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    CHECK(EVP_Digest(data, n, md, &len, EVP_sha256(), NULL) == 1 && len == 32, "SHA-256 is not available");
    for (int i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", md[i]);
}

Status sha256_file(char out[65], const char *path) {
    FileMap m;
    TRY(file_map(&m, path));
    sha256_hex(out, m.data ? m.data : (const uint8_t *)"", m.size);
    file_unmap(&m);
    return OK;
}

char *path_join(const char *dir, const char *name) {
    size_t a = strlen(dir), b = strlen(name);
    bool slash = a > 0 && dir[a - 1] != '/';
    char *p = malloc(a + b + 2);
    if (!p) return NULL;
    memcpy(p, dir, a);
    if (slash) p[a] = '/';
    memcpy(p + a + slash, name, b + 1);
    return p;
}
