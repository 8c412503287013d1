/* A slow cable: two network interfaces of this host, and every frame that comes in at one goes out
 * at the other after a set time, in order. For tests, where the kernel has no netem.
 *
 *     delay_forwarder DELAY_MS INTERFACE INTERFACE
 *
 * It carries Ethernet frames, so both ends have the TCP that they would have over a real link of
 * that length: its handshakes, its windows, its silence when packets are lost. Nothing is a proxy,
 * and no port is named. It says "forwarding" on stdout when it does, and on SIGTERM what it
 * carried.
 *
 * Needs the rights to open packet sockets on veth interfaces, which show it all frames whatever
 * their address. Checksums that the sender left to the hardware, and segments that it left to it to
 * cut, pass as they are, with the header that says so (PACKET_VNET_HDR): 64 KiB go through in one
 * piece. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

enum {
    FRAME_BYTES_MAX = 80 * 1024, /* the header, and the largest segment that is cut later */
    QUEUE_BYTES = 32 << 20,      /* under way, each direction: 1.6 GB/s at 20 ms */
    SOCKET_BYTES = 64 << 20,     /* what waits in the kernel while this process does not run */
    FRAMES_AT_ONCE = 64,         /* of one direction, before the other one's turn */
    DELAY_MS_MAX = 10000,
    NS_PER_MS = 1000000,
};

typedef struct Frame {
    int64_t due_ns;
    size_t bytes; /* 0: the rest of the ring is left out, go on at its start */
} Frame;

/* One direction: a ring of frames, each behind its Frame. */
typedef struct Direction {
    int from;
    int to;
    uint8_t *ring; /* QUEUE_BYTES, and behind them room for a Frame that says so */
    size_t head;   /* where the next one is written */
    size_t tail;   /* where the oldest one is */
    size_t queued_bytes;
    uint64_t frames;
    uint64_t carried_bytes;
    uint64_t dropped; /* there was no room, or the kernel did not take it: as a router does */
} Direction;

static Direction directions[2];
static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A packet socket for all frames that come in at this interface; -1 with a line on stderr. */
static int open_interface(const char *name)
{
    int one = 1;
    int bytes = SOCKET_BYTES;
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(name)};
    int fd = -1;
    if (address.sll_ifindex != 0)
        fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) == 0 &&
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) == 0 &&
        bind(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    fprintf(stderr, "delay_forwarder: %s: %s\n", name, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Where the next frame goes, with its Frame in front; NULL when the ring is full. The two ends meet
 * only in a ring that is empty. */
static uint8_t *place(Direction *direction)
{
    size_t most = sizeof(Frame) + FRAME_BYTES_MAX;
    if (direction->queued_bytes == 0)
        direction->head = direction->tail = 0;
    if (direction->head + most > QUEUE_BYTES) {
        if (direction->head < direction->tail || direction->tail <= most)
            return NULL;
        Frame skip = {0};
        memcpy(direction->ring + direction->head, &skip, sizeof skip);
        direction->head = 0;
    }
    if (direction->head < direction->tail && direction->head + most >= direction->tail)
        return NULL;
    return direction->ring + direction->head;
}

/* Takes what has come in, a bounded part of it; true when there may be more. */
static bool take(Direction *direction, int64_t delay_ns)
{
    static uint8_t unwanted[1];
    for (int i = 0; i < FRAMES_AT_ONCE; ++i) {
        uint8_t *at = place(direction);
        ssize_t bytes = at ? recv(direction->from, at + sizeof(Frame), FRAME_BYTES_MAX, MSG_TRUNC)
                           : recv(direction->from, unwanted, sizeof unwanted, MSG_TRUNC);
        if (bytes < 0)
            return false;
        if (!at || bytes > FRAME_BYTES_MAX) {
            ++direction->dropped;
            continue;
        }
        Frame frame = {now_ns() + delay_ns, (size_t)bytes};
        memcpy(at, &frame, sizeof frame);
        direction->head += sizeof frame + frame.bytes;
        direction->queued_bytes += frame.bytes;
    }
    return true;
}

/* Sends what is due. When the next one is, or INT64_MAX. */
static int64_t give(Direction *direction, int64_t now)
{
    while (direction->queued_bytes > 0) {
        Frame frame;
        memcpy(&frame, direction->ring + direction->tail, sizeof frame);
        if (frame.bytes == 0) {
            direction->tail = 0;
            continue;
        }
        if (frame.due_ns > now)
            return frame.due_ns;
        const uint8_t *data = direction->ring + direction->tail + sizeof frame;
        if (send(direction->to, data, frame.bytes, 0) < 0) {
            ++direction->dropped;
        } else {
            ++direction->frames;
            direction->carried_bytes += frame.bytes;
        }
        direction->tail += sizeof frame + frame.bytes;
        direction->queued_bytes -= frame.bytes;
    }
    return INT64_MAX;
}

static void run(int64_t delay_ns, const sigset_t *waiting)
{
    struct pollfd fds[2] = {{.fd = directions[0].from, .events = POLLIN},
                            {.fd = directions[1].from, .events = POLLIN}};
    while (!stopped) {
        bool more = false;
        int64_t due_ns = INT64_MAX;
        for (int i = 0; i < 2; ++i) {
            more |= take(&directions[i], delay_ns);
            int64_t next_ns = give(&directions[i], now_ns());
            due_ns = next_ns < due_ns ? next_ns : due_ns;
        }
        int64_t wait_ns = more ? 0 : due_ns - now_ns();
        struct timespec wait = {wait_ns > 0 ? wait_ns / 1000000000 : 0,
                                wait_ns > 0 ? wait_ns % 1000000000 : 0};
        ppoll(fds, 2, due_ns == INT64_MAX && !more ? NULL : &wait, waiting);
    }
}

/* Delays are as exact as this process is scheduled: before others, and without slack. Where that is
 * not allowed they are longer on a busy machine. */
static void be_punctual(void)
{
    struct sched_param priority = {.sched_priority = 1};
    prctl(PR_SET_TIMERSLACK, 1);
    sched_setscheduler(0, SCHED_FIFO, &priority);
}

int main(int argc, char **argv)
{
    char *end = NULL;
    double delay_ms = argc == 4 ? strtod(argv[1], &end) : -1;
    if (argc != 4 || *end != '\0' || !(delay_ms >= 0 && delay_ms <= DELAY_MS_MAX)) {
        fprintf(stderr, "usage: delay_forwarder DELAY_MS INTERFACE INTERFACE\n");
        return 2;
    }
    int fds[2] = {open_interface(argv[2]), open_interface(argv[3])};
    for (int i = 0; i < 2; ++i) {
        directions[i] = (Direction){.from = fds[i], .to = fds[1 - i]};
        directions[i].ring = malloc(QUEUE_BYTES + sizeof(Frame));
        if (fds[i] < 0 || !directions[i].ring)
            return 1;
    }
    sigset_t blocked;
    sigset_t waiting; /* a signal comes while it waits, and at no other time */
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &waiting);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL);
    be_punctual();
    printf("forwarding\n");
    fflush(stdout);
    run((int64_t)(delay_ms * NS_PER_MS), &waiting);
    for (int i = 0; i < 2; ++i) {
        printf("%s to %s: %llu frames, %llu bytes, %llu dropped\n", argv[2 + i], argv[3 - i],
               (unsigned long long)directions[i].frames,
               (unsigned long long)directions[i].carried_bytes,
               (unsigned long long)directions[i].dropped);
        free(directions[i].ring);
        close(fds[i]);
    }
    return 0;
}
