#include "actor/outbox.h"

#include <stdlib.h>

#include "common/check.h"

int outbox_new(Outbox *outbox, int places, int obs_dim, int act_dim, int steps_max)
{
    CHECK(places > 0);
    size_t bytes = segment_block_bytes(obs_dim, act_dim, steps_max);
    size_t count = (size_t)places;
    *outbox = (Outbox){.obs_dim = obs_dim,
                       .act_dim = act_dim,
                       .steps_max = steps_max,
                       .places = places,
                       .next_sequence = 1};
    outbox->block = calloc(count, bytes);
    outbox->segments = calloc(count, sizeof *outbox->segments);
    outbox->free_places = calloc(count, sizeof *outbox->free_places);
    outbox->closed = calloc(count, sizeof *outbox->closed);
    outbox->scratch = calloc(count, sizeof *outbox->scratch);
    if (!outbox->block || !outbox->segments || !outbox->free_places || !outbox->closed ||
        !outbox->scratch) {
        outbox_destroy(outbox);
        return ERR_NOMEM;
    }
    for (int i = 0; i < places; i++) {
        segment_bind(&outbox->segments[i], outbox->block + (size_t)i * bytes, obs_dim, act_dim,
                     steps_max);
        outbox->free_places[i] = i;
    }
    outbox->num_free = places;
    return ERR_OK;
}

void outbox_destroy(Outbox *outbox)
{
    free(outbox->block);
    free(outbox->segments);
    free(outbox->free_places);
    free(outbox->closed);
    free(outbox->scratch);
    *outbox = (Outbox){0};
}

static int place_of(const Outbox *outbox, const Segment *segment)
{
    return (int)(segment - outbox->segments);
}

static int *closed_slot(const Outbox *outbox, uint64_t sequence)
{
    return &outbox->closed[sequence % (uint64_t)outbox->places];
}

Segment *outbox_open(Outbox *outbox)
{
    if (outbox->num_free == 0)
        return NULL;
    Segment *segment = &outbox->segments[outbox->free_places[--outbox->num_free]];
    segment->num_steps = 0;
    segment->end = SEGMENT_CONTINUES;
    return segment;
}

void outbox_discard(Outbox *outbox, const Segment *segment)
{
    CHECK(outbox->num_free < outbox->places);
    outbox->free_places[outbox->num_free++] = place_of(outbox, segment);
}

void outbox_close(Outbox *outbox, Segment *segment)
{
    CHECK(segment->num_steps > 0);
    segment->sequence = outbox->next_sequence++;
    *closed_slot(outbox, segment->sequence) = place_of(outbox, segment);
}

const Segment *outbox_next(Outbox *outbox, uint64_t send_limit_sequence)
{
    uint64_t sequence = outbox->sent_sequence + 1;
    if (sequence >= outbox->next_sequence || sequence > send_limit_sequence)
        return NULL;
    outbox->sent_sequence = sequence;
    return &outbox->segments[*closed_slot(outbox, sequence)];
}

void outbox_unsend(Outbox *outbox, uint64_t sequence)
{
    CHECK(sequence == outbox->sent_sequence && sequence > outbox->acked_sequence);
    outbox->sent_sequence--;
}

/* The last segment that the learner may have. */
static uint64_t last_seen(const Outbox *outbox)
{
    return outbox->sent_sequence > outbox->seen_sequence ? outbox->sent_sequence
                                                         : outbox->seen_sequence;
}

void outbox_acknowledge(Outbox *outbox, uint64_t sequence)
{
    uint64_t seen = last_seen(outbox);
    if (sequence > seen)
        sequence = seen;
    while (outbox->acked_sequence < sequence) {
        int place = *closed_slot(outbox, ++outbox->acked_sequence);
        outbox->acked_steps += (uint64_t)outbox->segments[place].num_steps;
        outbox->free_places[outbox->num_free++] = place;
    }
    if (outbox->sent_sequence < outbox->acked_sequence)
        outbox->sent_sequence = outbox->acked_sequence;
}

void outbox_rewind(Outbox *outbox)
{
    outbox->seen_sequence = last_seen(outbox);
    outbox->sent_sequence = outbox->acked_sequence;
}

uint64_t outbox_restart(Outbox *outbox, uint64_t *steps_dropped)
{
    uint64_t first = outbox->acked_sequence + 1;
    uint64_t last = outbox->next_sequence - 1;
    uint64_t seen = last_seen(outbox);
    uint64_t dropped = 0;
    uint64_t kept = 0;
    for (uint64_t i = first; i <= last; i++) {
        int place = *closed_slot(outbox, i);
        Segment *segment = &outbox->segments[place];
        if (i <= seen) {
            *steps_dropped += (uint64_t)segment->num_steps;
            outbox->free_places[outbox->num_free++] = place;
            dropped++;
        } else {
            outbox->scratch[kept++] = place;
        }
    }
    for (uint64_t i = 0; i < kept; i++) {
        outbox->segments[outbox->scratch[i]].sequence = i + 1;
        *closed_slot(outbox, i + 1) = outbox->scratch[i];
    }
    outbox->next_sequence = kept + 1;
    outbox->acked_sequence = 0;
    outbox->acked_steps = 0;
    outbox->sent_sequence = 0;
    outbox->seen_sequence = 0;
    return dropped;
}

bool outbox_has_sent(const Outbox *outbox)
{
    return last_seen(outbox) > 0;
}

uint64_t outbox_unacked_steps(const Outbox *outbox)
{
    uint64_t steps = 0;
    for (uint64_t i = outbox->acked_sequence + 1; i < outbox->next_sequence; i++)
        steps += (uint64_t)outbox->segments[*closed_slot(outbox, i)].num_steps;
    return steps;
}

uint64_t outbox_unacked(const Outbox *outbox)
{
    return outbox->next_sequence - 1 - outbox->acked_sequence;
}

uint64_t outbox_unsent(const Outbox *outbox)
{
    return outbox->next_sequence - 1 - outbox->sent_sequence;
}
