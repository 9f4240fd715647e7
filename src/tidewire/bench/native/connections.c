#define _GNU_SOURCE
#include "connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_LIMIT 4096
#define EVENTS 512
#define PER_SOURCE 5000 /* connections from one loopback address, well below the ports that there are */

static uint8_t incoming[256 * 1024];

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("{\"error\": \"");
    vprintf(format, arguments);
    printf("\"}\n");
    va_end(arguments);
    exit(1);
}

uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void watch(struct pool *pool, struct connection *connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(pool->epoll, operation, connection->fd, &event) < 0) fail("watching a socket: %s", strerror(errno));
}

static void begin(struct pool *pool, int number, int port) {
    struct connection *connection = &pool->all[number];
    memset(connection, 0, sizeof *connection);
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) fail("opening socket %d: %s", number, strerror(errno));
    int yes = 1;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(connection->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(number / PER_SOURCE));
    if (bind(connection->fd, (struct sockaddr *)&source, sizeof source) < 0)
        fail("binding to a loopback address: %s", strerror(errno));
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(connection->fd, (struct sockaddr *)&target, sizeof target) < 0 && errno != EINPROGRESS)
        fail("connecting to port %d: %s", port, strerror(errno));
    connection->stage = CONNECTING;
    watch(pool, connection, EPOLL_CTL_ADD, EPOLLOUT);
}

/* The connection stands: send the request, or be done where there is none. Returns true when it is ready. */
static bool greet(struct pool *pool, struct connection *connection, const struct text *hello) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) fail("connecting: %s", strerror(error));
    watch(pool, connection, EPOLL_CTL_MOD, EPOLLIN);
    if (!hello) {
        connection->stage = PLAIN;
        return true;
    }
    if (send(connection->fd, hello->data, hello->size, MSG_NOSIGNAL) != (ssize_t)hello->size)
        fail("sending a handshake: %s", strerror(errno));
    connection->stage = SHAKING;
    connection->answer = malloc(ANSWER_LIMIT + 1);
    if (!connection->answer) fail("opening a connection: no memory");
    return false;
}

static void count_in(struct pool *pool, struct connection *connection, const uint8_t *data, size_t size) {
    if (pool->wanted) {
        const uint8_t *at = data;
        while ((at = number_read(&connection->number, pool->wanted, at, data + size))) {
            pool->found(pool, connection, connection->number.value);
            connection->number = (struct number_reader){0};
        }
    }
    if (connection->stage == OPEN && !frame_read(&connection->reader, data, size, &connection->count)) {
        connection->stage = GONE;
        pool->lost++;
        close(connection->fd);
    }
}

/* Reads the answer to the handshake; what follows it are frames already. Returns true when it is complete. */
static bool read_answer(struct pool *pool, struct connection *connection) {
    char *answer = connection->answer;
    ssize_t size = recv(connection->fd, answer + connection->answer_size, ANSWER_LIMIT - connection->answer_size, 0);
    if (size <= 0) fail("shaking hands: the server hung up after %zu bytes", connection->answer_size);
    connection->answer_size += (size_t)size;
    answer[connection->answer_size] = 0;
    char *end = strstr(answer, "\r\n\r\n");
    if (!end && connection->answer_size < ANSWER_LIMIT) return false;
    if (!end || strncmp(answer, "HTTP/1.1 101", 12) != 0) {
        for (char *at = answer; *at; at++)
            if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\') *at = ' ';
        fail("shaking hands: expected HTTP/1.1 101, got %.200s", answer);
    }
    connection->stage = OPEN;
    size_t head = (size_t)(end + 4 - answer);
    count_in(pool, connection, (uint8_t *)answer + head, connection->answer_size - head);
    free(answer);
    connection->answer = NULL;
    return true;
}

void pool_open(struct pool *pool, int first, int count, const struct text *hello, int port, int in_flight,
               uint64_t limit_ns) {
    uint64_t deadline = now_ns() + limit_ns;
    int begun = 0, ready = 0;
    while (ready < count) {
        while (begun < count && begun - ready < in_flight) begin(pool, first + begun++, port);
        struct epoll_event events[EVENTS];
        int found = epoll_wait(pool->epoll, events, EVENTS, 100);
        for (int i = 0; i < found; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection->stage == CONNECTING)
                ready += greet(pool, connection, hello);
            else if (connection->stage == SHAKING)
                ready += read_answer(pool, connection);
            else
                connection_receive(pool, connection);
        }
        if (now_ns() > deadline) fail("opening connections: expected %d in time, got %d", count, ready);
    }
}

static void refused(struct pool *pool, struct connection *connection, uint64_t number) {
    (void)number;
    fail("waiting for replies: the server answered connection %td with an error", connection - pool->all);
}

void pool_send(struct pool *pool, int first, int count, const struct text *texts, int shares, uint64_t replies,
               uint64_t limit_ns) {
    uint64_t deadline = now_ns() + limit_ns;
    for (int i = 0; i < count; i++) pool->all[first + i].count = (struct frame_count){0};
    pool_look_for(pool, "\"status\":\"error\"", refused);
    int answered = 0;
    for (int sent = 0; answered < count || sent < count;) {
        /* Few at a time: a server that must work for each answer would otherwise run out of somebody's patience. */
        for (int batch = 0; sent < count && sent - answered < 256; batch++, sent++) {
            const struct text *text = &texts[(uint64_t)sent * (uint64_t)shares / (uint64_t)count];
            if (send(pool->all[first + sent].fd, text->data, text->size, MSG_NOSIGNAL) != (ssize_t)text->size)
                fail("sending to connection %d: %s", first + sent, strerror(errno));
        }
        struct epoll_event events[EVENTS];
        int found = epoll_wait(pool->epoll, events, EVENTS, replies ? 100 : 0);
        for (int i = 0; i < found; i++) connection_receive(pool, events[i].data.ptr);
        while (answered < sent && pool->all[first + answered].count.messages >= replies) answered++;
        if (now_ns() > deadline || pool->lost)
            fail("waiting for %llu replies each: %d of %d connections have them, %llu were closed",
                 (unsigned long long)replies, answered, count, (unsigned long long)pool->lost);
    }
    pool_look_for(pool, NULL, NULL);
}

void pool_look_for(struct pool *pool, const char *text,
                   void (*found)(struct pool *pool, struct connection *connection, uint64_t number)) {
    pool->wanted = text;
    pool->found = found;
    for (int i = 0; i < pool->size; i++) pool->all[i].number = (struct number_reader){0};
}

void connection_receive(struct pool *pool, struct connection *connection) {
    if (connection->stage != OPEN && connection->stage != PLAIN) return;
    ssize_t size = recv(connection->fd, incoming, sizeof incoming, 0);
    if (size > 0) {
        count_in(pool, connection, incoming, (size_t)size);
    } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
        connection->stage = GONE;
        pool->lost++;
        close(connection->fd);
    }
}

void pool_reset(struct pool *pool) {
    struct epoll_event events[EVENTS];
    int found;
    while ((found = epoll_wait(pool->epoll, events, EVENTS, 0)) > 0)
        for (int i = 0; i < found; i++) connection_receive(pool, events[i].data.ptr);
    for (int i = 0; i < pool->size; i++) {
        pool->all[i].count = (struct frame_count){0};
        pool->all[i].digest = 0;
        pool->all[i].delivered = 0;
    }
}
