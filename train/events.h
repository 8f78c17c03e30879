/* TensorBoard event files: RUN/events.out.tfevents.<unix time>.<host>.<pid>.
 * A record: u64 LE length | u32 masked CRC-32C of it | data | u32 masked CRC-32C of data, where
 * mask(c) = rotate_right(c, 15) + 0xa282ead8. Data is a protobuf Event: 1 wall_time double, 2 step varint, 3
 * file_version string, 5 Summary {1 Value {1 tag string, 2 simple_value float}}, 7 SessionLog {1 status}.
 * Source: tensorflow's record_writer and event.proto. A resumed run writes a file of its own, whose start
 * mark makes TensorBoard forget what an earlier file says of later steps. */
#ifndef T2L_TRAIN_EVENTS_H
#define T2L_TRAIN_EVENTS_H

#include "base/status.h"
#include <stdint.h>
#include <stdio.h>

typedef struct Events {
    FILE *f;    /* owns */
    char *path; /* owns */
} Events;

/* step: what comes is about later steps only. */
Status events_open(Events *e, const char *run_dir, int64_t step);
/* Up to 100 bytes of tag. */
Status events_scalar(Events *e, int64_t step, const char *tag, double value);
Status events_flush(Events *e);
Status events_close(Events *e); /* also one that was never opened */
/* CRC-32C (Castagnoli), reflected polynomial 0x82F63B78. */
uint32_t events_crc32c(const void *data, size_t n);

#endif
