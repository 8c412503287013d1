#include "actor/dialing.h"

#include <zmq.h>

enum {
    CONNECT_TIMEOUT_MS = 2000,
    RECONNECT_MS = 100,
    RECONNECT_MAX_MS = 2000,
    HANDSHAKE_MS = 2000,
};

void dialing_set(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

void dialing_prepare(void *socket, int messages_max)
{
    dialing_set(socket, ZMQ_LINGER, 0);
    dialing_set(socket, ZMQ_RCVHWM, messages_max);
    dialing_set(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS);
    dialing_set(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    dialing_set(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
    dialing_set(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
}
