#define _GNU_SOURCE
#include "arrivals.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include "histogram.h"

#define EVENTS 8192
#define NAP_NS 1000000   /* when ages do not matter: clients are elsewhere, and waking ours must not cost the server */
#define SETTLE_NS 200000000u /* what is sent twice comes within this time */

static struct histogram ages;

static uint64_t unix_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time); /* the clock that the database stamps with, on the same machine */
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void note_age(struct pool *pool, struct connection *connection, uint64_t stamp_us) {
    (void)pool, (void)connection;
    uint64_t then = stamp_us * 1000, now = unix_ns();
    histogram_add(&ages, now > then ? now - then : 0);
}

/* Adds up what no two marks have in common: the last step of splitmix64, as in bench/listener.py. */
static void note_mark(struct pool *pool, struct connection *connection, uint64_t mark) {
    (void)pool;
    mark += 0x9e3779b97f4a7c15u;
    mark = (mark ^ mark >> 30) * 0xbf58476d1ce4e5b9u;
    mark = (mark ^ mark >> 27) * 0x94d049bb133111ebu;
    connection->digest += mark ^ mark >> 31;
}

static double cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void arrivals_count(struct pool *pool, int count, uint64_t expected, enum look look, uint64_t limit_ns) {
    double cpu_before = cpu_s();
    uint64_t messages = 0, last_unix_ns = unix_ns(), deadline = now_ns() + limit_ns;
    histogram_clear(&ages);
    if (look == AT_STAMPS) pool_look_for(pool, "\"stamp_us\":", note_age);
    if (look == AT_MARKS) pool_look_for(pool, "\"mark\":", note_mark);
    for (bool settling = false; now_ns() < deadline && !pool->lost;) {
        if (look != AT_STAMPS) nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
        struct epoll_event events[EVENTS];
        int found = epoll_wait(pool->epoll, events, EVENTS, 50);
        for (int i = 0; i < found; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection) continue; /* the timer of those who publish */
            uint64_t before = connection->count.messages;
            connection_receive(pool, connection);
            messages += connection->count.messages - before;
            if (connection->count.messages > before) last_unix_ns = unix_ns();
        }
        if (!settling && messages >= expected) {
            settling = true;
            deadline = now_ns() + SETTLE_NS;
        }
    }
    pool_look_for(pool, NULL, NULL);
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < count; i++) {
        uint64_t here = pool->all[i].count.messages;
        if (here < least) least = here;
        if (here > most) most = here;
    }
    printf("{\"messages\": %" PRIu64 ", \"least\": %" PRIu64 ", \"most\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"last_unix_ns\": %" PRIu64 ", \"stamps\": %" PRIu64 ", \"p50_ms\": %.4f, \"p99_ms\": %.4f"
           ", \"cpu_s\": %.6f, \"shares\": [",
           messages, least, most, pool->lost, last_unix_ns, ages.total, histogram_percentile_ms(&ages, 0.5),
           histogram_percentile_ms(&ages, 0.99), cpu_s() - cpu_before);
    for (int i = 0; look == AT_MARKS && i < count; i++)
        printf("%s[%" PRIu64 ", %" PRIu64 "]", i ? ", " : "", pool->all[i].count.messages, pool->all[i].digest);
    printf("]}\n");
}
