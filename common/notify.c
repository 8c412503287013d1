#include "common/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/text.h"

enum { STATUS_INTERVAL_MS = 2000, STATUS_BYTES = 251, SIGNS_PER_TIMEOUT = 3 };

/* Words that are sent once, and again until the manager has taken them. */
enum { WORD_READY = 1, WORD_STOPPING = 2 };

static struct {
    int fd; /* -1: there is no manager */
    struct sockaddr_un address;
    socklen_t address_bytes;
    unsigned unsent;     /* words */
    bool ready;          /* was said */
    bool stopping;       /* the same */
    int64_t watchdog_ms; /* between two signs of life; 0: nobody waits for them */
    int64_t sign_due_ms; /* of life */
    int64_t status_due_ms;
} manager = {.fd = -1};

/* A path, or '@' and a name of the abstract kind, which the kernel wants with a zero in front. */
static bool take_address(const char *name)
{
    size_t length = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || length < 2 ||
        length >= sizeof manager.address.sun_path)
        return false;
    manager.address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(manager.address.sun_path, name, length);
    if (name[0] == '@')
        manager.address.sun_path[0] = '\0';
    /* The zero at a path's end counts; a name of the abstract kind has none. */
    manager.address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (name[0] == '/')
        manager.address_bytes++;
    return true;
}

/* The time that the manager waits for signs of this very process; 0: for none. */
static int64_t watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid()))
        return 0;
    long long timeout_us = strtoll(usec, NULL, 10);
    if (timeout_us <= 0)
        return 0;
    long long interval_ms = timeout_us / 1000 / SIGNS_PER_TIMEOUT;
    return interval_ms > 0 ? interval_ms : 1;
}

void notify_start(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (manager.fd >= 0)
        close(manager.fd); /* tests start more than once */
    memset(&manager, 0, sizeof manager);
    manager.fd = -1;
    if (name && name[0] != '\0') {
        if (!take_address(name))
            log_warn("NOTIFY_SOCKET is \"%.100s\", which is no socket that can be used here", name);
        else if ((manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
            log_warn("the service manager cannot be told anything: %s", strerror(errno));
        manager.watchdog_ms = watchdog_ms();
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static bool tell(const char *text)
{
    size_t length = strlen(text);
    return sendto(manager.fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL,
                  (const struct sockaddr *)&manager.address,
                  manager.address_bytes) == (ssize_t)length;
}

static void send_words(void)
{
    if ((manager.unsent & WORD_READY) && tell("READY=1"))
        manager.unsent &= ~(unsigned)WORD_READY;
    if ((manager.unsent & WORD_STOPPING) && tell("STOPPING=1"))
        manager.unsent &= ~(unsigned)WORD_STOPPING;
}

void notify_ready(void)
{
    if (manager.fd < 0 || manager.ready)
        return;
    manager.ready = true;
    manager.unsent |= WORD_READY;
    send_words();
}

bool notify_tick(int64_t now_ms, bool well)
{
    if (manager.fd < 0)
        return false;
    if (manager.unsent)
        send_words();
    if (manager.watchdog_ms > 0 && well && now_ms >= manager.sign_due_ms && tell("WATCHDOG=1"))
        manager.sign_due_ms = now_ms + manager.watchdog_ms;
    if (now_ms < manager.status_due_ms)
        return false;
    manager.status_due_ms = now_ms + STATUS_INTERVAL_MS;
    return true;
}

void notify_status(const char *format, ...)
{
    static const char key[] = "STATUS=";
    char line[STATUS_BYTES];
    char text[sizeof key + sizeof line];
    va_list arguments;
    if (manager.fd < 0)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    memcpy(text, key, sizeof key);
    text_excerpt(line, text + sizeof key - 1, sizeof line);
    tell(text); /* one that is lost is old soon */
}

void notify_stopping(void)
{
    if (manager.fd < 0 || manager.stopping)
        return;
    manager.stopping = true;
    manager.unsent = WORD_STOPPING; /* ready is no longer of interest */
    send_words();
}
