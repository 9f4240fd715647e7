/* Many client connections in one epoll set: opened with bounded concurrency, shaken hands with, read and counted. */
#ifndef CONNECTIONS_H
#define CONNECTIONS_H

#include <stdint.h>

#include "frames.h"
#include "numbers.h"

enum stage { ABSENT, CONNECTING, SHAKING, OPEN, PLAIN, GONE };

struct connection {
    int fd;
    enum stage stage;
    char *answer;                /* to the handshake, as far as it has come */
    size_t answer_size;
    struct frame_reader reader;
    struct frame_count count;    /* since the last command */
    struct number_reader number; /* while numbers are wanted */
    uint64_t digest;             /* of the numbers since the last command, in whatever order they came */
    uint64_t delivered;          /* whole messages among the bytes of `count` */
    size_t unsent;               /* of a published text the last so many bytes wait for room */
};

struct text {
    uint8_t *data;
    size_t size;
};

struct pool {
    struct connection *all;
    int size;
    int epoll;
    uint64_t lost;      /* connections that the server ended */
    const char *wanted; /* the text before the numbers that are looked for, or NULL */
    void (*found)(struct pool *pool, struct connection *connection, uint64_t number);
};

/* Says {"error": …} on stdout and ends the process: whatever was being measured means nothing any more. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
uint64_t now_ns(void);

/* Opens `count` connections from the `first` on. `hello` is the handshake's request; NULL stays without one. */
void pool_open(struct pool *pool, int first, int count, const struct text *hello, int port, int in_flight,
               uint64_t limit_ns);

/* Has each of `count` connections send the text of its share, and waits for so many messages on every one. An answer
 * of status `error` is a failure: what nobody is to receive need not be waited for. */
void pool_send(struct pool *pool, int first, int count, const struct text *texts, int shares, uint64_t replies,
               uint64_t limit_ns);

/* Looks for this text from now on, and calls `found` with each number after it; NULL for no text any more. */
void pool_look_for(struct pool *pool, const char *text,
                   void (*found)(struct pool *pool, struct connection *connection, uint64_t number));

/* Reads once what has come for a connection and counts it. */
void connection_receive(struct pool *pool, struct connection *connection);

/* Reads everything that is waiting and starts all counts anew. */
void pool_reset(struct pool *pool);

#endif
