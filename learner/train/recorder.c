#include "learner/train/recorder.h"

#include <stdio.h>

void recorder_flush(Recorder *recorder)
{
    if (recorder->log && recorder->block.count > 0)
        log_thread_block(recorder->log, &recorder->block);
    recorder->block.count = 0;
}

void recorder_update(Recorder *recorder, uint64_t update, uint64_t position, uint32_t digest)
{
    OrderBlock *block = &recorder->block;
    if (!recorder->log)
        return;
    if (block->count > 0 && block->position != position)
        recorder_flush(recorder);
    if (block->count == 0) {
        block->first_update = update;
        block->position = position;
    }
    block->digests[block->count++] = digest;
    if (block->count == ORDER_UPDATES_MAX)
        recorder_flush(recorder);
}

void recorder_event(Recorder *recorder, const RunState *run, OrderEventType type, uint64_t value,
                    const char *text)
{
    if (!recorder->log)
        return;
    recorder_flush(recorder);
    OrderEvent event = {
        .type = type, .update = run->updates, .position = run->log_position, .value = value};
    snprintf(event.text, sizeof event.text, "%s", text ? text : "");
    log_thread_event(recorder->log, &event);
}
