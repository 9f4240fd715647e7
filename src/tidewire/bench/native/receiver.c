/* The load generator: opens connections, publishes, and times what arrives. One command a line on stdin, one JSON
 * object a line on stdout; bench/generator.py is the other side and says what the commands mean. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "arrivals.h"
#include "connections.h"
#include "histogram.h"

#define TEXTS 16384
#define EVENTS 512

struct moments { /* when each message of a publisher went out, or was due */
    uint64_t *ns;
    size_t count, room;
};

struct run {
    uint64_t messages, in_flight, bytes, limit_ns, stop_ns; /* as ordered; zero messages: until the stop */
    double rate;
    const struct text *texts;
    uint64_t start_ns, published, deliveries, last_ns;
};

static struct pool pool;
static int subscribers, publishers, timer;
static struct text texts[TEXTS];
static struct moments *moments;
static struct histogram ages;

static uint64_t due(const struct run *run) { return run->published * (uint64_t)(subscribers / publishers); }

static void note(struct moments *of, uint64_t at_ns) {
    if (of->count == of->room) {
        of->room = of->room ? of->room * 2 : 4096;
        of->ns = realloc(of->ns, of->room * sizeof *of->ns);
        if (!of->ns) fail("publishing: no memory");
    }
    of->ns[of->count++] = at_ns;
}

/* Sends the next message, or the rest of the one that found no room. Returns false when there is no room now. */
static bool publish(struct run *run, uint64_t at_ns) {
    int share = (int)(run->published % (uint64_t)publishers);
    struct connection *publisher = &pool.all[subscribers + share];
    const struct text *text = &run->texts[share];
    size_t left = publisher->unsent ? publisher->unsent : text->size;
    if (!publisher->unsent) note(&moments[share], at_ns);
    ssize_t sent = send(publisher->fd, text->data + text->size - left, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) fail("publishing: %s", strerror(errno));
    left -= sent < 0 ? 0 : (size_t)sent;
    publisher->unsent = left;
    if (left) return false;
    run->published++;
    return true;
}

static bool is_halfway(const struct run *run) {
    return pool.all[subscribers + (int)(run->published % (uint64_t)publishers)].unsent > 0;
}

static void publish_what_is_due(struct run *run, uint64_t now) {
    while (!run->messages || run->published < run->messages) {
        uint64_t at = now;
        if (due(run) - run->deliveries >= run->in_flight * (uint64_t)(subscribers / publishers)) return;
        if (run->rate > 0) {
            at = run->start_ns + (uint64_t)((double)run->published * 1e9 / run->rate);
            if (at > now) {
                struct itimerspec next = {.it_value = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)}};
                timerfd_settime(timer, TFD_TIMER_ABSTIME, &next, NULL);
                return;
            }
        }
        if (!publish(run, at)) return;
        if (run->rate <= 0) now = now_ns();
    }
}

/* What a connection has received are the next messages of its publisher, in order: that is how each age is known. */
static void account(struct run *run, struct connection *connection) {
    int number = (int)(connection - pool.all);
    if (number >= subscribers) return;
    const struct moments *sent = &moments[(uint64_t)number * (uint64_t)publishers / (uint64_t)subscribers];
    if (connection->count.bytes < (connection->delivered + 1) * run->bytes) return;
    uint64_t now = now_ns();
    run->last_ns = now;
    while (connection->count.bytes >= (connection->delivered + 1) * run->bytes) {
        if (connection->delivered >= sent->count) fail("counting: more was received than published");
        histogram_add(&ages, now - sent->ns[connection->delivered++]);
        run->deliveries++;
    }
}

static void turn(struct run *run) {
    struct epoll_event events[EVENTS];
    int found = epoll_wait(pool.epoll, events, EVENTS, 50);
    for (int i = 0; i < found; i++) {
        struct connection *connection = events[i].data.ptr;
        if (!connection) { /* the timer */
            uint64_t ticks;
            if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) fail("reading a timer: %s", strerror(errno));
            continue;
        }
        connection_receive(&pool, connection);
        account(run, connection);
    }
}

static double cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void carry_out(struct run *run) {
    pool_reset(&pool);
    histogram_clear(&ages);
    for (int i = 0; i < publishers; i++) moments[i].count = 0;
    double cpu_before = cpu_s();
    uint64_t seconds_ns = run->stop_ns;
    run->start_ns = run->last_ns = now_ns();
    run->stop_ns = seconds_ns ? run->start_ns + seconds_ns : UINT64_MAX;
    uint64_t now = run->start_ns;
    while (now < run->stop_ns && (!run->messages || run->published < run->messages || run->deliveries < due(run))) {
        publish_what_is_due(run, now);
        turn(run);
        now = now_ns();
        if (!seconds_ns && now - run->start_ns > run->limit_ns) break;
        if (pool.lost) break;
    }
    uint64_t deadline = seconds_ns ? now + run->limit_ns : 0;
    while ((run->deliveries < due(run) || is_halfway(run)) && !pool.lost && now_ns() < deadline) {
        if (is_halfway(run)) publish(run, now_ns());
        turn(run); /* what is still under way */
    }
    uint64_t frames = 0, bytes = 0;
    for (int i = 0; i < subscribers; i++) {
        frames += pool.all[i].count.messages;
        bytes += pool.all[i].count.bytes;
    }
    printf("{\"messages\": %" PRIu64 ", \"deliveries\": %" PRIu64 ", \"missing\": %" PRIu64
           ", \"frames\": %" PRIu64 ", \"payload_bytes\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"seconds\": %.9f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"cpu_s\": %.6f}\n",
           run->published, run->deliveries, due(run) - run->deliveries, frames, bytes, pool.lost,
           (double)(run->last_ns - run->start_ns) / 1e9, histogram_percentile_ms(&ages, 0.5),
           histogram_percentile_ms(&ages, 0.99), cpu_s() - cpu_before);
}

static void remember(int index, const char *hex) {
    if (index < 0 || index >= TEXTS) fail("text %d: expected a number below %d", index, TEXTS);
    size_t size = strspn(hex, "0123456789abcdef") / 2;
    free(texts[index].data);
    texts[index] = (struct text){malloc(size + 1), size};
    if (!texts[index].data) fail("text %d: no memory", index);
    for (size_t i = 0; i < size; i++) sscanf(hex + 2 * i, "%2hhx", &texts[index].data[i]);
    printf("{}\n");
}

static void obey(char *line) {
    int first, count, text, shares, port, in_flight, at;
    double limit_s, seconds;
    uint64_t replies;
    struct run run = {0};
    if (sscanf(line, "text %d %n", &text, &at) == 1) {
        remember(text, line + at);
    } else if (sscanf(line, "open %d %d %d %d %d %lf", &first, &count, &text, &port, &in_flight, &limit_s) == 6) {
        pool_open(&pool, first, count, text < 0 ? NULL : &texts[text], port, in_flight, (uint64_t)(limit_s * 1e9));
        printf("{}\n");
    } else if (sscanf(line, "send %d %d %d %d %" SCNu64 " %lf", &first, &count, &text, &shares, &replies, &limit_s) ==
               6) {
        pool_send(&pool, first, count, &texts[text], shares, replies, (uint64_t)(limit_s * 1e9));
        printf("{}\n");
    } else if (sscanf(line, "run %" SCNu64 " %" SCNu64 " %lf %lf %" SCNu64 " %d %lf", &run.messages, &run.in_flight,
                      &run.rate, &seconds, &run.bytes, &text, &limit_s) == 7) {
        run.texts = &texts[text];
        run.limit_ns = (uint64_t)(limit_s * 1e9);
        run.stop_ns = (uint64_t)(seconds * 1e9);
        carry_out(&run);
    } else if (strcmp(line, "listen\n") == 0) {
        pool_reset(&pool);
        printf("{}\n");
    } else if (sscanf(line, "count %" SCNu64 " %d %lf", &run.messages, &at, &limit_s) == 3) {
        arrivals_count(&pool, subscribers, run.messages, (enum look)at, (uint64_t)(limit_s * 1e9));
    } else {
        fail("an order that is none");
    }
}

int main(int argc, char **argv) {
    subscribers = argc == 3 ? atoi(argv[1]) : 0;
    publishers = argc == 3 ? atoi(argv[2]) : 0;
    if (subscribers < 1 || publishers < 1 || subscribers % publishers) fail("usage: receiver SUBSCRIBERS PUBLISHERS");
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    pool.size = subscribers + publishers;
    pool.all = calloc((size_t)pool.size, sizeof *pool.all);
    moments = calloc((size_t)publishers, sizeof *moments);
    pool.epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (!pool.all || !moments || epoll_ctl(pool.epoll, EPOLL_CTL_ADD, timer, &event) < 0) fail("starting: no memory");
    setvbuf(stdout, NULL, _IOLBF, 0);
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) obey(line);
    free(line);
    return 0;
}
