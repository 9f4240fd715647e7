/* Counts WebSocket frames in a stream without looking at what they say. Both programs of this folder read with it. */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame_reader {
    uint64_t left;    /* bytes of the current payload that have not come yet */
    uint8_t head[14]; /* the longest head there is: two bytes, an eight-byte length, a mask */
    uint8_t have;     /* bytes of the head so far */
    bool inside;      /* the head is complete, the payload is not */
};

struct frame_count {
    uint64_t messages; /* data messages that came to their end */
    uint64_t bytes;    /* payload of data frames */
};

static inline size_t frame_head_size(const struct frame_reader *reader) {
    if (reader->have < 2) return 2;
    uint8_t length = reader->head[1] & 0x7f;
    return 2u + (length == 127 ? 8u : length == 126 ? 2u : 0u) + (reader->head[1] & 0x80 ? 4u : 0u);
}

static inline uint64_t frame_length(const struct frame_reader *reader) {
    uint8_t length = reader->head[1] & 0x7f;
    size_t size = length == 127 ? 8 : length == 126 ? 2 : 0;
    if (size == 0) return length;
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value = value << 8 | reader->head[2 + i];
    return value;
}

/* Reads the next bytes and adds to `count`. Returns false once the peer has said goodbye. */
static inline bool frame_read(struct frame_reader *reader, const uint8_t *data, size_t size, struct frame_count *count) {
    const uint8_t *end = data + size;
    while (data < end) {
        if (!reader->inside) {
            reader->head[reader->have++] = *data++;
            if (reader->have < frame_head_size(reader)) continue;
            reader->left = frame_length(reader);
            reader->inside = true;
            if ((reader->head[0] & 0x0f) == 8) return false;
        }
        bool is_data = !(reader->head[0] & 0x08);
        uint64_t take = (uint64_t)(end - data) < reader->left ? (uint64_t)(end - data) : reader->left;
        data += take;
        reader->left -= take;
        if (is_data) count->bytes += take;
        if (reader->left == 0) {
            reader->inside = false;
            reader->have = 0;
            if (is_data && reader->head[0] & 0x80) count->messages++;
        }
    }
    return true;
}

#endif
