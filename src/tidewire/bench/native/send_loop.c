/* The baseline: a WebSocket server that does nothing but send() the same bytes to every other connection, once for
 * each message that one of them sends. What it takes is what the operating system takes. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"

#define EVENTS 512
#define STALLED_MS 5000

/* Every client here sends the key of RFC 6455's example, so the answer is the example's as well. */
static const char ANSWER[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct peer {
    int fd, place;
    bool open;
    struct frame_reader reader;
};

static struct peer **peers;
static int peer_count, peer_room, epoll, listener;
static uint8_t *frame;
static size_t frame_size;

static void give_up(const char *doing) {
    perror(doing);
    exit(1);
}

static void forget(struct peer *peer) {
    close(peer->fd);
    peers[peer->place] = peers[--peer_count];
    peers[peer->place]->place = peer->place;
    free(peer);
}

static void admit(void) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (peer_count == peer_room) {
            peer_room = peer_room ? peer_room * 2 : 1024;
            peers = realloc(peers, (size_t)peer_room * sizeof *peers);
            if (!peers) give_up("admitting");
        }
        struct peer *peer = calloc(1, sizeof *peer);
        if (!peer) give_up("admitting");
        peer->fd = fd;
        peer->place = peer_count;
        peers[peer_count++] = peer;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) give_up("watching");
    }
}

static void send_frame(struct peer *peer) {
    size_t sent = 0;
    while (sent < frame_size) {
        ssize_t size = send(peer->fd, frame + sent, frame_size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size >= 0) {
            sent += (size_t)size;
            continue;
        }
        struct pollfd writable = {.fd = peer->fd, .events = POLLOUT};
        if (errno != EAGAIN || poll(&writable, 1, STALLED_MS) <= 0) return; /* it is gone, or reads no more */
    }
}

static void send_all(const struct peer *sender) {
    for (int i = 0; i < peer_count; i++)
        if (peers[i] != sender && peers[i]->open) send_frame(peers[i]);
}

static void hear(struct peer *peer) {
    uint8_t data[64 * 1024];
    ssize_t size = recv(peer->fd, data, sizeof data, 0);
    if (size <= 0) {
        if (size == 0 || errno != EAGAIN) forget(peer);
        return;
    }
    if (!peer->open) { /* a request is small and comes in one piece from loopback */
        peer->open = true;
        if (send(peer->fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) < 0) forget(peer);
        return;
    }
    struct frame_count count = {0};
    bool stays = frame_read(&peer->reader, data, (size_t)size, &count);
    for (uint64_t i = 0; i < count.messages; i++) send_all(peer);
    if (!stays) forget(peer);
}

static void listen_on_loopback(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int yes = 1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0)
        give_up("listening");
}

/* PORT FRAME COPIES: the frame in hexadecimal, and how often one send() carries it. More than once is not the
 * baseline: it finds the generator's limit, where the server has next to nothing to do. */
int main(int argc, char **argv) {
    if (argc != 4) return 2;
    size_t one = strlen(argv[2]) / 2, copies = (size_t)atoi(argv[3]);
    frame_size = one * copies;
    frame = malloc(frame_size);
    if (!frame) give_up("starting");
    for (size_t i = 0; i < frame_size; i++) sscanf(argv[2] + 2 * (i % one), "%2hhx", &frame[i]);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    listen_on_loopback((uint16_t)atoi(argv[1]));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) give_up("starting");
    for (;;) {
        struct epoll_event events[EVENTS];
        int found = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < found; i++) {
            if (events[i].data.ptr)
                hear(events[i].data.ptr);
            else
                admit();
        }
    }
}
