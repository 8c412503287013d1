#include "relay/channels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"

enum {
    PLACE_BITS = 16,
    NO_PLACE = CHANNELS_MAX, /* the end of a chain */
};

/* A key that channels have. There are no more of them than channels, so each finds a place. */
typedef struct KeyUse {
    char key[IDENTITY_KEY_BYTES];
    uint32_t count;
    uint32_t next; /* the next place in its chain, or the next free one */
} KeyUse;

struct Channels {
    uint32_t places;
    uint32_t count;
    uint32_t num_chains; /* a power of two */
    uint32_t first_free; /* the free places are a queue, so that numbers come again late */
    uint32_t last_free;
    uint32_t first_free_key;
    uint32_t *chains; /* (3, num_chains): first place of each; by link, by session, by key */
    uint32_t *by_session;
    uint32_t *by_key;
    KeyUse *keys; /* (places) */
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
    channels->chains = calloc(channels->num_chains, 3 * sizeof *channels->chains);
    channels->keys = calloc(places, sizeof *channels->keys);
    if (!channels->chains || !channels->keys) {
        channels_destroy(&channels);
        return NULL;
    }
    channels->by_session = channels->chains + channels->num_chains;
    channels->by_key = channels->by_session + channels->num_chains;
    for (uint32_t i = 0; i < 3 * channels->num_chains; i++)
        channels->chains[i] = NO_PLACE;
    for (uint32_t i = 0; i < places; i++) {
        channels->channel[i].next = i + 1 < places ? i + 1 : NO_PLACE;
        channels->keys[i].next = channels->channel[i].next;
    }
    channels->last_free = places - 1;
    return channels;
}

void channels_destroy(Channels **channels)
{
    if (!*channels)
        return;
    free((*channels)->chains);
    free((*channels)->keys);
    free(*channels);
    *channels = NULL;
}

/* --- Chains ------------------------------------------------------------------------------------
 */

static uint32_t chain_of(const Channels *channels, uint64_t value)
{
    uint64_t mixed = value * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> 32) & (channels->num_chains - 1);
}

static uint32_t *chain_of_link(const Channels *channels, Link link)
{
    return &channels->chains[chain_of(channels, link)];
}

static uint32_t *chain_of_session(const Channels *channels, const Session *session)
{
    uint64_t halves[2];
    _Static_assert(sizeof halves == sizeof *session, "a session is two numbers");
    memcpy(halves, session, sizeof halves);
    return &channels->by_session[chain_of(channels, halves[0] ^ halves[1])];
}

static uint32_t *chain_of_key(const Channels *channels, const char *key)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < IDENTITY_KEY_BYTES - 1 && key[i] != '\0'; i++)
        sum = sum * 31 + (uint8_t)key[i];
    return &channels->by_key[chain_of(channels, sum)];
}

/* --- Keys --------------------------------------------------------------------------------------
 */

static uint32_t find_key(const Channels *channels, const char *key)
{
    uint32_t place = *chain_of_key(channels, key);
    while (place != NO_PLACE &&
           strncmp(channels->keys[place].key, key, IDENTITY_KEY_BYTES - 1) != 0)
        place = channels->keys[place].next;
    return place;
}

static uint32_t use_key(Channels *channels, const char *key)
{
    uint32_t place = find_key(channels, key);
    if (place == NO_PLACE) {
        uint32_t *chain = chain_of_key(channels, key);
        place = channels->first_free_key;
        CHECK(place != NO_PLACE);
        KeyUse *use = &channels->keys[place];
        channels->first_free_key = use->next;
        snprintf(use->key, sizeof use->key, "%s", key);
        use->next = *chain;
        *chain = place;
    }
    channels->keys[place].count++;
    return place;
}

static void leave_key(Channels *channels, uint32_t place)
{
    KeyUse *use = &channels->keys[place];
    if (--use->count > 0)
        return;
    uint32_t *at = chain_of_key(channels, use->key);
    while (*at != place) {
        CHECK(*at != NO_PLACE);
        at = &channels->keys[*at].next;
    }
    *at = use->next;
    use->next = channels->first_free_key;
    channels->first_free_key = place;
}

uint32_t channels_count_of_key(const Channels *channels, const char *key)
{
    uint32_t place = find_key(channels, key);
    return place == NO_PLACE ? 0 : channels->keys[place].count;
}

/* --- Channels ----------------------------------------------------------------------------------
 */

/* Turns are counted from 1, so that no number is 0. */
static uint32_t next_turn(uint32_t turn)
{
    return turn + 1 < UINT32_C(1) << (32 - PLACE_BITS) ? turn + 1 : 1;
}

Channel *channels_add(Channels *channels, Link link, const char *key, const Session *session)
{
    uint32_t place = channels->first_free;
    if (place == NO_PLACE)
        return NULL;
    Channel *channel = &channels->channel[place];
    uint32_t *of_link = chain_of_link(channels, link);
    uint32_t *of_session = chain_of_session(channels, session);
    channels->first_free = channel->next;
    if (channels->first_free == NO_PLACE)
        channels->last_free = NO_PLACE;
    uint32_t turn = next_turn(channel->turn);
    uint32_t key_place = use_key(channels, key);
    *channel = (Channel){.number = turn << PLACE_BITS | place,
                         .link = link,
                         .session = *session,
                         .key = channels->keys[key_place].key,
                         .turn = turn,
                         .next = *of_link,
                         .next_session = *of_session,
                         .key_place = key_place};
    *of_link = place;
    *of_session = place;
    channels->count++;
    return channel;
}

void channels_remove(Channels *channels, Channel *channel)
{
    uint32_t place = (uint32_t)(channel - channels->channel);
    uint32_t *at = chain_of_link(channels, channel->link);
    while (*at != place) {
        CHECK(*at != NO_PLACE);
        at = &channels->channel[*at].next;
    }
    *at = channel->next;
    at = chain_of_session(channels, &channel->session);
    while (*at != place) {
        CHECK(*at != NO_PLACE);
        at = &channels->channel[*at].next_session;
    }
    *at = channel->next_session;
    leave_key(channels, channel->key_place);
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
    uint32_t place = *chain_of_link(channels, link);
    while (place != NO_PLACE && channels->channel[place].link != link)
        place = channels->channel[place].next;
    return place == NO_PLACE ? NULL : &channels->channel[place];
}

Channel *channels_find_session(Channels *channels, const char *key, const Session *session)
{
    uint32_t place = *chain_of_session(channels, session);
    for (; place != NO_PLACE; place = channels->channel[place].next_session) {
        Channel *channel = &channels->channel[place];
        if (memcmp(&channel->session, session, sizeof *session) == 0 &&
            strncmp(channel->key, key, IDENTITY_KEY_BYTES - 1) == 0)
            return channel;
    }
    return NULL;
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
