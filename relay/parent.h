/* The connection of a relay to its parent: the learner, or another relay. An actor's uplink in all
 * but what it carries: beside the relay's own messages there are those of its channels, which pass
 * undecoded. Owned by the relay's one thread. */
#ifndef POLYAK_RELAY_PARENT_H
#define POLYAK_RELAY_PARENT_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>
#include <zmq.h>

#include "actor/dealer.h"
#include "actor/uplink.h"
#include "common/config/config.h"
#include "net/zmq_watch.h"

typedef struct Parent {
    Uplink uplink;
    Dealer dealer;
    uv_loop_t *loop;
    ZmqWatch *watch; /* of the dealer's socket; NULL: there is none */
    void (*ready)(void *context);
    void *context;
    zmq_msg_t held;        /* a frame that the full queue did not take */
    uint32_t held_channel; /* 0: none */
    bool silence_said;
    int64_t next_word_ms; /* when the wait for the parent is logged next */
} Parent;

/* `ready` is called when something has come, or when there is place again. The parent must stay
 * where it is. ERR_USAGE, ERR_NOMEM. */
int parent_open(Parent *parent, void *zmq_context, uv_loop_t *loop, const Config *config,
                const Hello *hello, void (*ready)(void *), void *context, Err *err);

/* Says a last Bye, and lets what is queued go out for a while. */
void parent_close(Parent *parent, ByeReason reason);

/* Does what is due: dials, says Hello, gives signs of life. ERR_USAGE when the endpoint can never
 * be dialled. */
int parent_drive(Parent *parent, int64_t now_ms, Err *err);

/* The next frame for a channel, in place of `frame`, an initialised message; the relay's own
 * messages are handled on the way, at most `*budget` of both. False when there is none. */
bool parent_receive(Parent *parent, int *budget, uint32_t *channel, zmq_msg_t *frame,
                    int64_t now_ms);

/* Sends a frame, and leaves it empty. Where the queue is full it is held, and parent_is_full()
 * until it could be sent: no other may be given before. Without a connection it is dropped: who
 * sent it says it again. */
void parent_send(Parent *parent, uint32_t channel, zmq_msg_t *frame);
bool parent_is_full(const Parent *parent);

/* Tries again what is held; true when there is nothing to hold any more. */
bool parent_flush(Parent *parent);

/* A message of the relay itself about a channel; dropped where it does not fit. */
void parent_tell(Parent *parent, uint32_t channel, const Message *message);

/* Why there is no connection, for a person. */
const char *parent_trouble(Parent *parent);

/* Refuses a relay that would dial itself, as far as --bind and --connect tell: ERR_USAGE. */
int parent_check(const char *bind, const char *connect, Err *err);

#endif
