#include "actor/envs/gymnasium/worker_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/text.h"

enum {
    VERSION = 1,
    ALIGN_BYTES = 64,
    PICTURE_ALIGN_BYTES = 65536, /* no page is larger */
};

/* Gives `bytes` of the memory away, and says where they begin. */
static uint32_t place(size_t *end, size_t bytes)
{
    size_t at = (*end + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    *end = at + bytes;
    return (uint32_t)at;
}

static ChannelHeader layout(int num_lanes, size_t *bytes)
{
    size_t lanes = (size_t)num_lanes;
    ChannelHeader header = {
        .magic = "polyak\n",
        .version = VERSION,
        .num_lanes = (uint32_t)num_lanes,
        .obs_dim_max = SPEC_OBS_DIM_MAX,
        .act_dim_max = SPEC_ACT_DIM_MAX,
        .spec_at = offsetof(ChannelHeader, obs_dim),
        .failure_at = offsetof(ChannelHeader, failure),
    };
    size_t end = sizeof header;
    header.seeds_at = place(&end, lanes * sizeof(uint64_t));
    header.rewards_at = place(&end, lanes * sizeof(double));
    header.done_at = place(&end, lanes * sizeof(uint32_t));
    header.commands_at = place(&end, lanes);
    header.ends_at = place(&end, lanes);
    header.actions_at = place(&end, lanes * SPEC_ACT_DIM_MAX * sizeof(float));
    header.obs_at = place(&end, lanes * SPEC_OBS_DIM_MAX * sizeof(float));
    end = (end + PICTURE_ALIGN_BYTES - 1) / PICTURE_ALIGN_BYTES * PICTURE_ALIGN_BYTES;
    header.picture_at = (uint32_t)end;
    *bytes = end;
    return header;
}

int channel_open(Channel *channel, int num_lanes, Err *err)
{
    *channel = (Channel){.bell_fd = -1, .num_lanes = num_lanes};
    ChannelHeader header = layout(num_lanes, &channel->bytes);
    /* Pages that nobody touches cost nothing, so lanes have room for the largest environment. */
    channel->memory_fd = memfd_create("polyak-worker", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (channel->memory_fd < 0)
        return err_set(err, ERR_IO, "no shared memory for a Python worker: %s", strerror(errno));
    /* Sealed: a page that the worker took away would end this process. */
    void *memory = MAP_FAILED;
    if (ftruncate(channel->memory_fd, (off_t)channel->bytes) == 0 &&
        fcntl(channel->memory_fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0)
        memory =
            mmap(NULL, channel->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, channel->memory_fd, 0);
    if (memory == MAP_FAILED) {
        int code = err_set(err, ERR_NOMEM,
                           "no shared memory for %d environments in a Python "
                           "worker: %s",
                           num_lanes, strerror(errno));
        close(channel->memory_fd);
        return code;
    }
    char *bytes = memory;
    memcpy(bytes, &header, sizeof header);
    channel->header = memory;
    channel->seeds = (uint64_t *)(void *)(bytes + header.seeds_at);
    channel->rewards = (double *)(void *)(bytes + header.rewards_at);
    channel->done = (uint32_t *)(void *)(bytes + header.done_at);
    channel->commands = (uint8_t *)bytes + header.commands_at;
    channel->ends = (uint8_t *)bytes + header.ends_at;
    channel->actions = (float *)(void *)(bytes + header.actions_at);
    channel->obs = (float *)(void *)(bytes + header.obs_at);
    return ERR_OK;
}

void channel_close(Channel *channel)
{
    if (!channel->header)
        return;
    channel_disconnect(channel);
    munmap(channel->header, channel->bytes);
    close(channel->memory_fd);
    channel->header = NULL;
}

int channel_connect(Channel *channel, int *worker_end, Err *err)
{
    channel_disconnect(channel);
    /* All of it anew: an environment may have written over what is not its own. */
    size_t bytes = 0;
    *channel->header = layout(channel->num_lanes, &bytes);
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return err_set(err, ERR_IO, "no socket for a Python worker: %s", strerror(errno));
    channel->bell_fd = ends[0];
    *worker_end = ends[1];
    return ERR_OK;
}

void channel_disconnect(Channel *channel)
{
    if (channel->bell_fd >= 0)
        close(channel->bell_fd);
    channel->bell_fd = -1;
}

float *channel_action(const Channel *channel, int lane)
{
    return channel->actions + (size_t)lane * SPEC_ACT_DIM_MAX;
}

const float *channel_obs(const Channel *channel, int lane)
{
    return channel->obs + (size_t)lane * SPEC_OBS_DIM_MAX;
}

int channel_ring(Channel *channel, const uint16_t *lanes, int count)
{
    ssize_t sent;
    do {
        sent = send(channel->bell_fd, lanes, (size_t)count * sizeof *lanes,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return ERR_OK;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? ERR_AGAIN : ERR_LOST;
}

int channel_take(Channel *channel, uint16_t *lanes, char *what)
{
    ssize_t got;
    do {
        got = recv(channel->bell_fd, lanes, (size_t)channel->num_lanes * sizeof *lanes,
                   MSG_DONTWAIT | MSG_TRUNC);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_AGAIN : ERR_LOST;
    if (got == 0)
        return ERR_LOST;
    if (got == 1) {
        memcpy(what, lanes, 1);
        return *what == 'R' || *what == 'F' ? 0 : ERR_FORMAT;
    }
    int count = (int)(got / (ssize_t)sizeof *lanes);
    if (got % (ssize_t)sizeof *lanes != 0 || count > channel->num_lanes)
        return ERR_FORMAT;
    for (int i = 0; i < count; i++) {
        if (lanes[i] >= channel->num_lanes)
            return ERR_FORMAT;
    }
    return count;
}

int channel_spec(const Channel *channel, Spec *spec, Err *err)
{
    const ChannelHeader *header = channel->header;
    *spec = (Spec){
        .obs_dim = header->obs_dim, .act_dim = header->act_dim, .step_limit = header->step_limit};
    memcpy(spec->name, header->name, SPEC_NAME_MAX);
    memcpy(spec->action_low, header->action_low, sizeof spec->action_low);
    memcpy(spec->action_high, header->action_high, sizeof spec->action_high);
    return spec_check(spec, err);
}

const char *channel_text(const Channel *channel, char *out, size_t out_bytes)
{
    char text[CHANNEL_TEXT_BYTES + 1] = "";
    memcpy(text, channel->header->text, CHANNEL_TEXT_BYTES);
    return text_excerpt(text, out, out_bytes);
}

int channel_picture_open(Channel *channel, int width, int height, uint8_t **rgb, Err *err)
{
    size_t bytes = (size_t)width * (size_t)height * 3;
    ChannelHeader *header = channel->header;
    const off_t at = (off_t)channel->bytes; /* the worker may have written over picture_at */
    const off_t end = at + (off_t)bytes;
    off_t now = lseek(channel->memory_fd, 0, SEEK_END); /* it never shrinks */
    void *memory = MAP_FAILED;
    if (end <= now || ftruncate(channel->memory_fd, end) == 0)
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, channel->memory_fd, at);
    if (memory == MAP_FAILED)
        return err_set(err, ERR_NOMEM, "no shared memory for a picture of %d x %d: %s", width,
                       height, strerror(errno));
    header->picture_width = (uint32_t)width;
    header->picture_height = (uint32_t)height;
    *rgb = memory;
    return ERR_OK;
}

void channel_picture_close(uint8_t **rgb, int width, int height)
{
    munmap(*rgb, (size_t)width * (size_t)height * 3);
    *rgb = NULL;
}
