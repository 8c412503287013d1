/* What every socket of ours that dials out has in common: no lingering, and a network that went
 * away is found again within seconds. libzmq's own defaults take far longer. */
#ifndef POLYAK_ACTOR_DIALING_H
#define POLYAK_ACTOR_DIALING_H

/* Sets an option that is an int. */
void dialing_set(void *socket, int option, int value);

/* Sets the common options of a new socket; `messages_max` bounds its incoming queue. */
void dialing_prepare(void *socket, int messages_max);

#endif
