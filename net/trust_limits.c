/* What is refused before anything is opened, and how many connections there is room for. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "common/log.h"
#include "net/endpoints.h"
#include "net/trust.h"

enum {
    SOCKETS_PER_PEER = 2, /* uplink and weights */
    FILES_KEPT = 256,     /* for the log, checkpoints, the loop and libraries */
};

int trust_check(const Config *config, Err *err)
{
    bool keyed = config->key[0] != '\0';
    if (keyed && config->allowed_keys[0] == '\0')
        return err_set(err, ERR_USAGE,
                       "--key needs --allowed-keys: the directory of the public keys that may "
                       "connect");
    if (!keyed && config->allowed_keys[0] != '\0')
        return err_set(err, ERR_USAGE,
                       "--allowed-keys needs --key: the learner's own; polyak keygen makes one");
    if (keyed && config->insecure)
        return err_set(err, ERR_USAGE,
                       "--insecure is for runs without --key: leave one of them out");
    if (!keyed && !config->insecure && endpoints_are_public(config->bind))
        return err_set(err, ERR_USAGE,
                       "--bind %.100s can be reached from other machines: give --key and "
                       "--allowed-keys (polyak keygen makes keys), or --insecure to let anybody in",
                       config->bind);
    return ERR_OK;
}

int trust_fit_limits(Config *config, Err *err)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return err_set(err, ERR_IO, "the limit of open files is not known: %s", strerror(errno));
    rlim_t before = files.rlim_cur;
    files.rlim_cur = files.rlim_max;
    /* Some systems say "no limit" and mean another one: then what there is has to do. */
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        files.rlim_cur = before;
    int64_t fixed = config->half_open_max + FILES_KEPT;
    if (files.rlim_cur == RLIM_INFINITY ||
        files.rlim_cur >= (rlim_t)(fixed + SOCKETS_PER_PEER * config->peers_max))
        return ERR_OK;
    int64_t room = ((int64_t)files.rlim_cur - fixed) / SOCKETS_PER_PEER;
    if (room < 1)
        return err_set(err, ERR_USAGE,
                       "at most %lld files may be open, and --half-open-max %lld takes most of "
                       "them: raise the limit (ulimit -Hn), or lower --half-open-max",
                       (long long)files.rlim_cur, (long long)config->half_open_max);
    log_warn("at most %lld files may be open: --peers-max is lowered from %lld to %lld (ulimit -Hn "
             "%lld would do)",
             (long long)files.rlim_cur, (long long)config->peers_max, (long long)room,
             (long long)(fixed + SOCKETS_PER_PEER * config->peers_max));
    config->peers_max = room;
    return ERR_OK;
}
