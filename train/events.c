#include "train/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_TAG = 100, MAX_EVENT = 256, SESSION_START = 1 };
enum { WALL_TIME = 1, STEP = 2, FILE_VERSION = 3, SUMMARY = 5, SESSION_LOG = 7 }; /* fields of Event */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };                         /* wire types */

typedef struct Message {
    uint8_t data[MAX_EVENT];
    size_t n;
} Message;

uint32_t events_crc32c(const void *data, size_t n) {
    const uint8_t *p = data;
    uint32_t crc = ~(uint32_t)0;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (0x82F63B78u & -(crc & 1));
    }
    return ~crc;
}

static void put_le(uint8_t *out, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) out[i] = (uint8_t)(v >> (8 * i));
}

static void put_fixed(Message *m, uint64_t v, int bytes) {
    put_le(m->data + m->n, v, bytes);
    m->n += (size_t)bytes;
}

static void put_varint(Message *m, uint64_t v) {
    for (; v >= 128; v >>= 7) m->data[m->n++] = (uint8_t)(v | 128);
    m->data[m->n++] = (uint8_t)v;
}

static void put_key(Message *m, int field, int wire) {
    put_varint(m, (uint64_t)(field << 3 | wire));
}

static void put_bytes(Message *m, int field, const void *data, size_t n) {
    put_key(m, field, BYTES);
    put_varint(m, n);
    memcpy(m->data + m->n, data, n);
    m->n += n;
}

static Message event_at(int64_t step) {
    struct timespec now;
    Message m = {.n = 0};
    uint64_t bits;
    clock_gettime(CLOCK_REALTIME, &now);
    double wall = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    memcpy(&bits, &wall, sizeof bits);
    put_key(&m, WALL_TIME, FIXED64);
    put_fixed(&m, bits, 8);
    put_key(&m, STEP, VARINT);
    put_varint(&m, (uint64_t)step);
    return m;
}

static uint32_t masked_crc(const void *data, size_t n) {
    uint32_t c = events_crc32c(data, n);
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

static Status write_record(Events *e, const Message *m) {
    uint8_t head[12], tail[4];
    put_le(head, m->n, 8);
    put_le(head + 8, masked_crc(head, 8), 4);
    put_le(tail, masked_crc(m->data, m->n), 4);
    if (fwrite(head, sizeof head, 1, e->f) == 1 && fwrite(m->data, m->n, 1, e->f) == 1 &&
        fwrite(tail, sizeof tail, 1, e->f) == 1)
        return OK;
    return status_errno(errno, "%s: cannot write", e->path);
}

static Status begin(Events *e, int64_t step) {
    static const char version[] = "brain.Event:2";
    Message first = event_at(0), start = event_at(step + 1), status = {.n = 0};
    put_bytes(&first, FILE_VERSION, version, sizeof version - 1);
    put_key(&status, 1, VARINT);
    put_varint(&status, SESSION_START);
    put_bytes(&start, SESSION_LOG, status.data, status.n);
    TRY(write_record(e, &first));
    TRY(write_record(e, &start));
    return events_flush(e);
}

Status events_open(Events *e, const char *run_dir, int64_t step) {
    char host[64] = "host";
    memset(e, 0, sizeof *e);
    gethostname(host, sizeof host - 1);
    if (asprintf(&e->path, "%s/events.out.tfevents.%010lld.%s.%ld", run_dir, (long long)time(NULL), host,
                 (long)getpid()) < 0) {
        e->path = NULL;
        return status_error(E_ENV, "%s: out of memory", run_dir);
    }
    e->f = fopen(e->path, "abe");
    Status s = e->f ? begin(e, step) : status_errno(errno, "%s: cannot create", e->path);
    if (!status_is_ok(s)) status_free(events_close(e));
    return s;
}

Status events_scalar(Events *e, int64_t step, const char *tag, double value) {
    Message m = event_at(step), scalar = {.n = 0}, summary = {.n = 0};
    size_t n = strlen(tag);
    float f = (float)value;
    uint32_t bits;
    CHECK(n <= MAX_TAG, "tag of %zu bytes", n);
    memcpy(&bits, &f, sizeof bits);
    put_bytes(&scalar, 1, tag, n);
    put_key(&scalar, 2, FIXED32);
    put_fixed(&scalar, bits, 4);
    put_bytes(&summary, 1, scalar.data, scalar.n);
    put_bytes(&m, SUMMARY, summary.data, summary.n);
    return write_record(e, &m);
}

Status events_flush(Events *e) {
    return fflush(e->f) == 0 ? OK : status_errno(errno, "%s: cannot write", e->path);
}

Status events_close(Events *e) {
    Status s = OK;
    if (e->f && fclose(e->f) != 0) s = status_errno(errno, "%s: cannot close", e->path);
    free(e->path);
    memset(e, 0, sizeof *e);
    return s;
}
