#include "net/endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_MAX = 65535 };

/* The whole text as a port that has a next one; 0 when it is none. libzmq would wrap a larger
 * number around, and listen elsewhere. */
static long read_port(const char *text)
{
    size_t length = strlen(text);
    if (length < 1 || length > 5 || strspn(text, "0123456789") != length)
        return 0;
    long port = strtol(text, NULL, 10);
    return port < PORT_MAX ? port : 0;
}

static int bad_endpoint(const char *uplink, Err *err)
{
    return err_set(err, ERR_USAGE, "--bind %.100s: write tcp://ADDRESS:PORT or ipc://PATH", uplink);
}

/* The colon before the port of a tcp endpoint, or NULL; an address without one, such as [::1], has
 * colons of its own. */
static const char *port_colon(const char *uplink)
{
    const char *colon = strrchr(uplink, ':');
    if (strncmp(uplink, "tcp://", 6) != 0 || !colon || colon < uplink + 6 || strchr(colon, ']'))
        return NULL;
    return colon;
}

int endpoints_check(const char *uplink, Err *err)
{
    if (strncmp(uplink, "ipc://", 6) == 0 && uplink[6] != '\0')
        return ERR_OK;
    const char *colon = port_colon(uplink);
    if (!colon)
        return bad_endpoint(uplink, err);
    if (strcmp(colon, ":*") != 0 && read_port(colon + 1) == 0)
        return err_set(
            err, ERR_USAGE,
            "--bind %.100s: the port must be in 1…%d, since weights go out on the next one", uplink,
            PORT_MAX - 1);
    return ERR_OK;
}

int endpoints_weights(const char *uplink, char weights[WIRE_ENDPOINT_MAX + 1], Err *err)
{
    int code = endpoints_check(uplink, err);
    if (code != ERR_OK)
        return code;
    const char *colon = port_colon(uplink);
    int bytes;
    if (!colon)
        bytes = snprintf(weights, WIRE_ENDPOINT_MAX + 1, "%s.weights", uplink);
    else if (colon[1] == '*')
        return bad_endpoint(uplink, err); /* not bound yet */
    else
        bytes = snprintf(weights, WIRE_ENDPOINT_MAX + 1, "%.*s:%ld", (int)(colon - uplink), uplink,
                         read_port(colon + 1) + 1);
    if (bytes > WIRE_ENDPOINT_MAX)
        return err_set(err, ERR_USAGE, "--bind %s is too long", uplink);
    return ERR_OK;
}

bool endpoints_are_public(const char *uplink)
{
    return strncmp(uplink, "tcp://", 6) == 0 && strncmp(uplink, "tcp://127.", 10) != 0 &&
           strncmp(uplink, "tcp://[::1]", 11) != 0;
}

int endpoints_advertise(const Config *config, const char *weights, Welcome *welcome, Err *err)
{
    const char *whole = config->advertise;
    if (whole[0] == '\0' && strncmp(weights, "ipc://", 6) == 0)
        whole = weights;
    if (whole[0] == '\0') {
        const char *colon = strrchr(weights, ':');
        welcome->weights_port = colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : 0;
        return ERR_OK;
    }
    int bytes = snprintf(welcome->weights_endpoint, sizeof welcome->weights_endpoint, "%s", whole);
    if ((size_t)bytes >= sizeof welcome->weights_endpoint)
        return err_set(err, ERR_USAGE, "--advertise %s is longer than %d bytes", whole,
                       WIRE_ENDPOINT_MAX);
    return ERR_OK;
}

void endpoints_fill_welcome(const Config *config, Welcome *welcome)
{
    welcome->heartbeat_interval_ms = (uint32_t)config->heartbeat_interval_ms;
    welcome->seed = (uint64_t)config->seed;
    welcome->segment_steps = (uint32_t)config->segment_steps;
    welcome->segment_flush_ms = (uint32_t)config->segment_flush_ms;
    welcome->noise = (uint32_t)config->noise;
    welcome->sigma = config->sigma;
    welcome->ou_theta = config->ou_theta;
    welcome->ou_dt = config->ou_dt;
    welcome->publish_interval_ms = (uint32_t)config->publish_interval_ms;
    welcome->policy_age_s_max = (uint32_t)config->policy_age_s_max;
    welcome->sync = config->sync;
}
