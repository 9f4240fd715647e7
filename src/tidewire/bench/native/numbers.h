/* Finds a text in a stream, wherever that is cut, and the number that follows it. */
#ifndef NUMBERS_H
#define NUMBERS_H

#include <stdint.h>

struct number_reader {
    uint8_t matched; /* so many characters of the text have been seen */
    uint64_t value;
};

/* Returns where the number ends, which may be where it would have begun; NULL when everything is read before. The
 * reader then has the value, and is to be cleared before it reads on. */
static inline const uint8_t *number_read(struct number_reader *reader, const char *text, const uint8_t *at,
                                         const uint8_t *end) {
    for (; at < end; at++) {
        if (text[reader->matched])
            reader->matched = *at == (uint8_t)text[reader->matched] ? reader->matched + 1 : *at == (uint8_t)text[0];
        else if (*at >= '0' && *at <= '9')
            reader->value = reader->value * 10 + (*at - '0');
        else
            return at;
    }
    return NULL;
}

#endif
