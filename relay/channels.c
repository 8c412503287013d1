#include "relay/channels.h"

#include <stdlib.h>

#include "common/check.h"

enum {
    PLACE_BITS = 16,
    NO_PLACE = CHANNELS_MAX, /* the end of a chain */
};

struct Channels {
    uint32_t places;
    uint32_t count;
    uint32_t num_chains; /* a power of two */
    uint32_t first_free; /* the free places are a queue, so that numbers come again late */
    uint32_t last_free;
    uint32_t *chains; /* (num_chains): first place of each */
    Channel channel[];
};

Channels *channels_new(uint32_t places)
{
    CHECK(places > 0 && places <= CHANNELS_MAX);
    Channels *channels = calloc(1, sizeof *channels + places * sizeof channels->channel[0]);
    if (!channels)
        return NULL;
    channels->places = places;
    channels->num_chains = 1;
    while (channels->num_chains < places)
        channels->num_chains *= 2;
    channels->chains = malloc(channels->num_chains * sizeof *channels->chains);
    if (!channels->chains) {
        free(channels);
        return NULL;
    }
    for (uint32_t i = 0; i < channels->num_chains; i++)
        channels->chains[i] = NO_PLACE;
    for (uint32_t i = 0; i < places; i++)
        channels->channel[i].next = i + 1 < places ? i + 1 : NO_PLACE;
    channels->last_free = places - 1;
    return channels;
}

void channels_destroy(Channels **channels)
{
    if (!*channels)
        return;
    free((*channels)->chains);
    free(*channels);
    *channels = NULL;
}

/* Turns are counted from 1, so that no number is 0. */
static uint32_t next_turn(uint32_t turn)
{
    return turn + 1 < UINT32_C(1) << (32 - PLACE_BITS) ? turn + 1 : 1;
}

static uint32_t *chain_of(const Channels *channels, Link link)
{
    uint64_t mixed = link * UINT64_C(0x9e3779b97f4a7c15);
    return &channels->chains[(mixed >> 32) & (channels->num_chains - 1)];
}

Channel *channels_add(Channels *channels, Link link)
{
    uint32_t place = channels->first_free;
    if (place == NO_PLACE)
        return NULL;
    Channel *channel = &channels->channel[place];
    uint32_t *chain = chain_of(channels, link);
    channels->first_free = channel->next;
    if (channels->first_free == NO_PLACE)
        channels->last_free = NO_PLACE;
    uint32_t turn = next_turn(channel->turn);
    *channel =
        (Channel){.number = turn << PLACE_BITS | place, .link = link, .turn = turn, .next = *chain};
    *chain = place;
    channels->count++;
    return channel;
}

void channels_remove(Channels *channels, Channel *channel)
{
    uint32_t place = (uint32_t)(channel - channels->channel);
    uint32_t *at = chain_of(channels, channel->link);
    while (*at != place) {
        CHECK(*at != NO_PLACE);
        at = &channels->channel[*at].next;
    }
    *at = channel->next;
    *channel = (Channel){.turn = channel->turn, .next = NO_PLACE};
    if (channels->last_free == NO_PLACE)
        channels->first_free = place;
    else
        channels->channel[channels->last_free].next = place;
    channels->last_free = place;
    channels->count--;
}

Channel *channels_find(Channels *channels, uint32_t number)
{
    uint32_t place = number & (CHANNELS_MAX - 1);
    if (number == 0 || place >= channels->places)
        return NULL;
    Channel *channel = &channels->channel[place];
    return channel->number == number ? channel : NULL;
}

Channel *channels_find_link(Channels *channels, Link link)
{
    uint32_t place = *chain_of(channels, link);
    while (place != NO_PLACE && channels->channel[place].link != link)
        place = channels->channel[place].next;
    return place == NO_PLACE ? NULL : &channels->channel[place];
}

uint32_t channels_count(const Channels *channels)
{
    return channels->count;
}

Channel *channels_next(Channels *channels, uint32_t *place)
{
    while (*place < channels->places) {
        Channel *channel = &channels->channel[(*place)++];
        if (channel->number != 0)
            return channel;
    }
    return NULL;
}
