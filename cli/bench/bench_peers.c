#include "cli/bench/bench_peers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "common/clock.h"

enum { PEERS_MAX = 1024, STACK_BYTES = 512 << 10, STOP_MS = 5000, LOOK_MS = 5 };

typedef struct PeerThread {
    int index;
    void *context;
    BenchShared *shared;
    BenchPeer peer;
    const void *arg;
    pthread_t thread;
} PeerThread;

static void sleep_ms(int ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

static void *run_peer(void *arg)
{
    const PeerThread *self = arg;
    self->peer(self->index, self->context, self->shared, self->arg);
    return NULL;
}

/* The whole life of the peers' process; returns its exit code. */
static int run_peers(int num_peers, BenchShared *shared, BenchPeer peer, const void *arg)
{
    static PeerThread threads[PEERS_MAX];
    while (!atomic_load(&shared->go) && !atomic_load(&shared->stop))
        sleep_ms(LOOK_MS);
    void *context = zmq_ctx_new();
    pthread_attr_t attributes;
    if (!context || zmq_ctx_set(context, ZMQ_MAX_SOCKETS, PEERS_MAX + 16) != 0 ||
        pthread_attr_init(&attributes) != 0)
        return 1;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int started = 0;
    for (; started < num_peers; started++) {
        PeerThread *thread = &threads[started];
        *thread = (PeerThread){started, context, shared, peer, arg, 0};
        if (pthread_create(&thread->thread, &attributes, run_peer, thread) != 0)
            break;
    }
    for (int i = 0; i < started; i++)
        pthread_join(threads[i].thread, NULL);
    zmq_ctx_term(context);
    return started == num_peers ? 0 : 1;
}

int bench_peers_start(BenchPeers *peers, int num_peers, size_t shared_bytes, BenchPeer peer,
                      const void *arg, Err *err)
{
    peers->shared_bytes = shared_bytes;
    peers->shared = mmap(NULL, shared_bytes, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (peers->shared == MAP_FAILED)
        return err_set(err, ERR_NOMEM, "no shared memory of %zu bytes", shared_bytes);
    pid_t parent = getpid();
    peers->pid = fork();
    if (peers->pid < 0) {
        munmap(peers->shared, shared_bytes);
        return err_set(err, ERR_IO, "no process for the peers: %s", strerror(errno));
    }
    if (peers->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(getppid() == parent ? run_peers(num_peers, peers->shared, peer, arg) : 1);
    }
    return 0;
}

int bench_peers_go(BenchPeers *peers, void *socket, Err *err)
{
    size_t endpoint_bytes = sizeof peers->shared->endpoint;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, peers->shared->endpoint, &endpoint_bytes) != 0)
        return err_set(err, ERR_NET, "no endpoint: %s", zmq_strerror(zmq_errno()));
    atomic_store(&peers->shared->go, true);
    return 0;
}

void bench_peers_stop(BenchPeers *peers)
{
    int64_t deadline_ms = clock_ms() + STOP_MS;
    atomic_store(&peers->shared->stop, true);
    while (waitpid(peers->pid, NULL, WNOHANG) == 0) {
        if (clock_ms() >= deadline_ms)
            kill(peers->pid, SIGKILL);
        sleep_ms(LOOK_MS);
    }
}

void bench_peers_release(BenchPeers *peers)
{
    munmap(peers->shared, peers->shared_bytes);
    peers->shared = NULL;
}
