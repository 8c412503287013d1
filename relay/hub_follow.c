/* What the connection to the parent means for those below. */
#include <string.h>

#include "relay/hub_internal.h"

HubNews hub_follow(Hub *hub, const Uplink *uplink, const Welcome *place, const char *trouble)
{
    bool active = uplink->state == UPLINK_ACTIVE;
    if (hub->state == HUB_OVER)
        return HUB_NO_NEWS;
    if (uplink->state == UPLINK_FINISHED) {
        hub_disconnected(hub, BYE_FINISHED);
        return HUB_FINISHED;
    }
    /* Another Welcome is another connection, on which no channel has said Hello. */
    if (hub->state == HUB_OPEN && (!active || uplink->welcomes != hub->welcomes))
        hub_disconnected(hub, BYE_RESTARTING);
    if (!active)
        hub_set_trouble(hub, trouble);
    hub->ours.newest = uplink->newest;
    if (uplink->state == UPLINK_REFUSED)
        return HUB_REFUSED;
    /* One that was taken already is of a relay that has taken its leave. */
    if (!active || uplink->welcomes == hub->welcomes)
        return HUB_NO_NEWS;
    Welcome ours = uplink->welcome;
    ours.newest = uplink->newest;
    ours.weights_port = place->weights_port;
    memcpy(ours.weights_endpoint, place->weights_endpoint, sizeof ours.weights_endpoint);
    hub->welcomes = uplink->welcomes;
    hub_connected(hub, &ours);
    return HUB_WELCOMED;
}
