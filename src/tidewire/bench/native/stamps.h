/* Finds "stamp_us":NUMBER in a stream, wherever it is cut, and records how long ago that moment was. */
#ifndef STAMPS_H
#define STAMPS_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "histogram.h"

struct stamp_reader {
    uint8_t matched; /* so many characters of the name have been seen */
    uint64_t value;
};

static inline uint64_t unix_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time); /* the clock that the database stamps with, on the same machine */
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline void stamps_read(struct stamp_reader *reader, const uint8_t *data, size_t size, struct histogram *ages) {
    static const char name[] = "\"stamp_us\":";
    for (const uint8_t *at = data; at < data + size; at++) {
        if (reader->matched < sizeof name - 1) {
            reader->matched = *at == name[reader->matched] ? reader->matched + 1 : *at == name[0];
        } else if (*at >= '0' && *at <= '9') {
            reader->value = reader->value * 10 + (*at - '0');
        } else {
            uint64_t then = reader->value * 1000, now = unix_ns();
            histogram_add(ages, now > then ? now - then : 0);
            *reader = (struct stamp_reader){0};
        }
    }
}

#endif
