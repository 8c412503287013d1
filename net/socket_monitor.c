#include "net/socket_monitor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <zmq.h>

enum {
    EVENTS = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED |
             ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
             ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
    EVENT_BYTES = 6,
    EVENTS_PER_READ = 4096,
    NAME_BYTES = 64,
    FD_MAX = 1 << 20,
    /* The newest accepted connections, by time: a handshake is over after ZMQ_HANDSHAKE_IVL, 2 s.
     */
    BUCKET_MS = 250,
    NUM_BUCKETS = 10,
};

typedef struct Connection {
    bool open;
    sa_family_t family;
    uint8_t address[16];
} Connection;

struct SocketMonitor {
    void *watched;
    void *pair;
    MonitorFailed failed;
    void *context;
    MonitorCounts counts;
    Connection *connections; /* by descriptor */
    int num_connections;
    uint64_t unresolved; /* accepted, and not known to have finished or failed */
    uint32_t bucket[NUM_BUCKETS];
    int64_t bucket_number; /* of the newest one */
    int failure; /* that was just reported, or -1: its address comes with the next event */
};

int socket_monitor_new(void *zmq_context, void *socket, const char *name, MonitorFailed failed,
                       void *context, SocketMonitor **monitor_pointer, Err *err)
{
    char endpoint[NAME_BYTES];
    SocketMonitor *monitor = calloc(1, sizeof *monitor);
    if (!monitor)
        return err_set(err, ERR_NOMEM, "out of memory");
    monitor->failed = failed;
    monitor->context = context;
    monitor->failure = -1;
    snprintf(endpoint, sizeof endpoint, "inproc://monitor.%s", name);
    monitor->pair = zmq_socket(zmq_context, ZMQ_PAIR);
    if (monitor->pair) {
        /* libzmq's thread would wait where the queue is full: so it has no end. What is in it is
         * what happened since the loop's last turn. */
        const int zero = 0;
        zmq_setsockopt(monitor->pair, ZMQ_RCVHWM, &zero, sizeof zero);
        zmq_setsockopt(monitor->pair, ZMQ_LINGER, &zero, sizeof zero);
        if (zmq_socket_monitor(socket, endpoint, EVENTS) == 0) {
            monitor->watched = socket;
            if (zmq_connect(monitor->pair, endpoint) == 0) {
                *monitor_pointer = monitor;
                return ERR_OK;
            }
        }
    }
    err_set(err, ERR_NET, "connections cannot be counted: %s", zmq_strerror(zmq_errno()));
    socket_monitor_destroy(&monitor);
    return ERR_NET;
}

void socket_monitor_destroy(SocketMonitor **monitor)
{
    SocketMonitor *self = *monitor;
    if (!self)
        return;
    /* First the sender: without a reader it would wait. */
    if (self->watched)
        zmq_socket_monitor(self->watched, NULL, 0);
    if (self->pair)
        zmq_close(self->pair);
    free(self->connections);
    free(self);
    *monitor = NULL;
}

void *socket_monitor_socket(SocketMonitor *monitor)
{
    return monitor->pair;
}

/* --- Connections -------------------------------------------------------------------------------
 */

/* The place of a descriptor; NULL where there is no memory, or none of that number. */
static Connection *find_connection(SocketMonitor *self, int fd)
{
    if (fd < 0 || fd >= FD_MAX)
        return NULL;
    if (fd >= self->num_connections) {
        int count = fd + 1 > 2 * self->num_connections ? fd + 64 : 2 * self->num_connections;
        Connection *grown = realloc(self->connections, (size_t)count * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + self->num_connections, 0,
               (size_t)(count - self->num_connections) * sizeof *grown);
        self->connections = grown;
        self->num_connections = count;
    }
    return &self->connections[fd];
}

/* Who is at the other end, for the log. The descriptor is libzmq's, and may be closed by now or be
 * another connection's: then the log names nobody, or the other one. */
static void note_address(Connection *connection, int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage room;
    } peer = {.room = {.ss_family = AF_UNSPEC}};
    socklen_t bytes = sizeof peer;
    connection->family = AF_UNSPEC;
    if (getpeername(fd, &peer.any, &bytes) != 0)
        return;
    if (peer.any.sa_family == AF_INET)
        memcpy(connection->address, &peer.in.sin_addr, sizeof peer.in.sin_addr);
    else if (peer.any.sa_family == AF_INET6)
        memcpy(connection->address, &peer.in6.sin6_addr, sizeof peer.in6.sin6_addr);
    else
        return;
    connection->family = peer.any.sa_family;
}

static void format_address(const Connection *connection, char out[MONITOR_ADDRESS_BYTES])
{
    out[0] = '\0';
    if (connection && connection->family != AF_UNSPEC)
        inet_ntop(connection->family, connection->address, out, MONITOR_ADDRESS_BYTES);
}

static void resolve(SocketMonitor *self)
{
    if (self->unresolved > 0)
        self->unresolved--;
}

/* --- Events ------------------------------------------------------------------------------------
 */

/* Tells of the failure that was reported last. */
static void tell_failure(SocketMonitor *self, const Connection *connection)
{
    char address[MONITOR_ADDRESS_BYTES];
    if (self->failure < 0)
        return;
    format_address(connection, address);
    self->failed(self->context, (HandshakeFailure)self->failure, address);
    self->failure = -1;
}

static void on_failure(SocketMonitor *self, HandshakeFailure failure)
{
    tell_failure(self, NULL); /* of an earlier one, which has no address */
    self->counts.failed[failure]++;
    self->failure = (int)failure;
    resolve(self);
}

static void on_accepted(SocketMonitor *self, int fd)
{
    self->counts.accepted++;
    self->unresolved++;
    self->bucket[self->bucket_number % NUM_BUCKETS]++;
    Connection *connection = find_connection(self, fd);
    if (!connection)
        return;
    if (!connection->open)
        self->counts.open++;
    connection->open = true;
    note_address(connection, fd);
}

static void on_disconnected(SocketMonitor *self, int fd)
{
    Connection *connection = find_connection(self, fd);
    tell_failure(self, connection);
    if (!connection || !connection->open)
        return;
    connection->open = false;
    self->counts.open--;
}

static void on_event(SocketMonitor *self, unsigned event, int value)
{
    switch (event) {
    case ZMQ_EVENT_ACCEPTED:
        on_accepted(self, value);
        break;
    case ZMQ_EVENT_ACCEPT_FAILED:
        self->counts.not_accepted++;
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        self->counts.finished++;
        resolve(self);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        on_failure(self, HANDSHAKE_REFUSED);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        on_failure(self, HANDSHAKE_PROTOCOL);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        on_failure(self, HANDSHAKE_LOST);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        on_disconnected(self, value);
        break;
    default:
        break;
    }
}

/* Forgets what was accepted longer ago than a handshake may take. */
static void turn_buckets(SocketMonitor *self, int64_t now_ms)
{
    int64_t number = now_ms / BUCKET_MS;
    if (number - self->bucket_number > NUM_BUCKETS)
        self->bucket_number = number - NUM_BUCKETS;
    while (self->bucket_number < number)
        self->bucket[++self->bucket_number % NUM_BUCKETS] = 0;
}

void socket_monitor_read(SocketMonitor *monitor, int64_t now_ms)
{
    SocketMonitor *self = monitor;
    turn_buckets(self, now_ms);
    for (int i = 0; i < EVENTS_PER_READ; i++) {
        uint8_t data[EVENT_BYTES];
        char endpoint[1];
        uint16_t event = 0;
        int32_t value = 0;
        int bytes = zmq_recv(self->pair, data, sizeof data, ZMQ_DONTWAIT);
        if (bytes < 0 || zmq_recv(self->pair, endpoint, sizeof endpoint, ZMQ_DONTWAIT) < 0)
            break;
        if (bytes != EVENT_BYTES)
            continue;
        memcpy(&event, data, sizeof event);
        memcpy(&value, data + sizeof event, sizeof value);
        on_event(self, event, value);
    }
    tell_failure(self, NULL);
    /* libzmq does not report every end of a handshake (a peer of version 1 is dropped in silence),
     * but none is longer than its time. */
    uint64_t recent = 0;
    for (int i = 0; i < NUM_BUCKETS; i++)
        recent += self->bucket[i];
    if (self->unresolved > recent)
        self->unresolved = recent;
    uint64_t half_open =
        self->unresolved < self->counts.open ? self->unresolved : self->counts.open;
    self->counts.half_open = (uint32_t)half_open;
}

void socket_monitor_forget(SocketMonitor *monitor)
{
    for (int i = 0; i < monitor->num_connections; i++)
        monitor->connections[i].open = false;
    monitor->counts.open = 0;
    monitor->counts.half_open = 0;
    monitor->unresolved = 0;
}

const MonitorCounts *socket_monitor_counts(const SocketMonitor *monitor)
{
    return &monitor->counts;
}
