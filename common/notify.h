/* Word to the service manager that started this program, such as systemd with Type=notify: that it
 * is ready, what it does, that it lives, and that it ends. Without one nothing is done here.
 *
 * A program calls, from the one thread of its loop:
 *   notify_ready()      when it does its work or waits for others with all that it needs;
 *   notify_tick()       at each turn of its loop, the more often the better;
 *   notify_status()     when notify_tick() says that it is time: one line for a person;
 *   notify_stopping()   when it is on its way out, for whatever reason.
 * ready and stopping are said once, however often they are called. notify_start() is called by
 * program_start().
 *
 * The protocol is that of sd_notify(3), which systemd keeps stable and says may be written by hand:
 * datagrams of KEY=value lines to the socket that $NOTIFY_SOCKET names. No call waits: what the
 * manager has no room for is sent again at a later tick. */
#ifndef POLYAK_COMMON_NOTIFY_H
#define POLYAK_COMMON_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID, and takes them out of the environment:
 * what this program starts does not speak for it. Before any thread is started. */
void notify_start(void);

void notify_ready(void);

/* Sends a sign of life when one is due, three times within the time that the manager waits for it,
 * unless the program is not `well`: then it is for the manager to end it. True when a status is
 * due, every few seconds; never without a manager, so that nobody has to put one together in vain.
 */
bool notify_tick(int64_t now_ms, bool well);

/* One line, at most 250 bytes of it; control characters become '?'. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

void notify_stopping(void);

#endif
