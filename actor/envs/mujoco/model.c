#include "actor/envs/mujoco/model.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor/envs/mujoco/task.h"
#include "common/text.h"

enum { SHADOW_SIZE_MAX = 1024 }; /* pixels of a side; MuJoCo's own default is 4096 */

/* One loaded file. */
typedef struct Shared {
    struct Shared *next;
    mjModel *model;
    int users;
    char path[MUJOCO_PATH_BYTES];
} Shared;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the list, and loading */
static Shared *loaded;

static int check_version(Err *err)
{
    if (mj_version() == mjVERSION_HEADER)
        return ERR_OK;
    return err_set(err, ERR_VERSION,
                   "the MuJoCo library is version %d, this plugin was built for %d: build it again",
                   mj_version(), mjVERSION_HEADER);
}

const char *mujoco_assets_folder(void)
{
    const char *folder = getenv("POLYAK_MUJOCO_ASSETS");
    return folder && folder[0] ? folder : MUJOCO_ASSETS_DIR;
}

static int find_file(const char *path, char *found, size_t bytes, Err *err)
{
    const char *folder = mujoco_assets_folder();
    int length = strchr(path, '/') ? snprintf(found, bytes, "%s", path)
                                   : snprintf(found, bytes, "%s/%s", folder, path);
    if (length < 0 || (size_t)length >= bytes)
        return err_set(err, ERR_USAGE, "the path of the model is too long");
    if (access(found, R_OK) == 0)
        return ERR_OK;
    if (strchr(path, '/'))
        return err_set(err, ERR_MISSING, "%.300s is not there, or cannot be read", found);
    return err_set(
        err, ERR_MISSING,
        "%.200s is not there: run scripts/setup.sh --mujoco, or set POLYAK_MUJOCO_ASSETS",
        folder[0] ? found : path);
}

typedef struct LoadCall {
    const char *path;
    mjModel *model;
    char error[256];
} LoadCall;

static void load(void *arg)
{
    LoadCall *call = arg;
    call->model = mj_loadXML(call->path, NULL, call->error, sizeof call->error);
}

static int load_model(Shared *entry, Err *err)
{
    LoadCall call = {.path = entry->path};
    int rc = mujoco_guard(load, &call, err);
    if (rc != ERR_OK)
        return rc;
    if (!call.model) {
        char shown[256];
        mujoco_one_line(call.error);
        return err_set(err, ERR_USAGE, "%.200s is no model for MuJoCo: %s", entry->path,
                       text_excerpt(call.error, shown, sizeof shown));
    }
    /* A diverged state is reported, not reset in silence. */
    call.model->opt.disableflags |= mjDSBL_AUTORESET;
    /* Without a graphics card the shadow map takes most of a picture's time. */
    if (call.model->vis.quality.shadowsize > SHADOW_SIZE_MAX)
        call.model->vis.quality.shadowsize = SHADOW_SIZE_MAX;
    entry->model = call.model;
    return ERR_OK;
}

static int open_locked(const char *path, const mjModel **model, Err *err)
{
    for (Shared *entry = loaded; entry; entry = entry->next) {
        if (strcmp(entry->path, path) == 0) {
            entry->users++;
            *model = entry->model;
            return ERR_OK;
        }
    }
    Shared *made = calloc(1, sizeof *made);
    if (!made)
        return err_set(err, ERR_NOMEM, "no memory for a model");
    snprintf(made->path, sizeof made->path, "%s", path);
    int rc = load_model(made, err);
    if (rc != ERR_OK) {
        free(made);
        return rc;
    }
    made->users = 1;
    made->next = loaded;
    loaded = made;
    *model = made->model;
    return ERR_OK;
}

int mujoco_model_open(const char *path, const mjModel **model, Err *err)
{
    char found[MUJOCO_PATH_BYTES];
    int rc = check_version(err);
    if (rc == ERR_OK)
        rc = find_file(path, found, sizeof found, err);
    if (rc != ERR_OK)
        return rc;
    pthread_mutex_lock(&mutex);
    rc = open_locked(found, model, err);
    pthread_mutex_unlock(&mutex);
    return rc;
}

void mujoco_model_close(const mjModel **model)
{
    pthread_mutex_lock(&mutex);
    for (Shared **link = &loaded; *model && *link; link = &(*link)->next) {
        Shared *entry = *link;
        if (entry->model != *model)
            continue;
        if (--entry->users == 0) {
            *link = entry->next;
            mj_deleteModel(entry->model);
            free(entry);
        }
        break;
    }
    pthread_mutex_unlock(&mutex);
    *model = NULL;
}
