#include "learner/fleet/endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_MAX = 65535 };

int endpoints_weights(const char *uplink, char weights[WIRE_ENDPOINT_MAX + 1], Err *err)
{
    if (strncmp(uplink, "ipc://", 6) == 0) {
        int bytes = snprintf(weights, WIRE_ENDPOINT_MAX + 1, "%s.weights", uplink);
        if (bytes > WIRE_ENDPOINT_MAX)
            return err_set(err, ERR_USAGE, "--bind %s is too long", uplink);
        return ERR_OK;
    }
    const char *colon = strrchr(uplink, ':');
    if (strncmp(uplink, "tcp://", 6) != 0 || !colon)
        return err_set(err, ERR_USAGE, "--bind %s: write tcp://ADDRESS:PORT or ipc://PATH", uplink);
    long port = strtol(colon + 1, NULL, 10);
    if (port < 1 || port >= PORT_MAX)
        return err_set(err, ERR_USAGE,
                       "--bind %s: the port must be in 1…%d, since weights go out on the next one",
                       uplink, PORT_MAX - 1);
    int bytes = snprintf(weights, WIRE_ENDPOINT_MAX + 1, "%.*s:%ld", (int)(colon - uplink), uplink,
                         port + 1);
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
