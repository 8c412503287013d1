/* Models, shared by all simulations of a process that run the same file, and MuJoCo's own errors,
 * which would otherwise end the process. Functions may be called from any thread. */
#ifndef POLYAK_ACTOR_ENVS_MUJOCO_MODEL_H
#define POLYAK_ACTOR_ENVS_MUJOCO_MODEL_H

#include <mujoco/mujoco.h>

#include "common/err.h"

/* Loads the model of a file, or takes the one that is loaded. A path without a '/' is a file of
 * Gymnasium's, in the assets folder. A loaded model is never written to. ERR_VERSION when the
 * library is not the header's, ERR_MISSING when there is no such file, ERR_USAGE with MuJoCo's
 * words when it is no model. */
int mujoco_model_open(const char *path, const mjModel **model, Err *err);
void mujoco_model_close(const mjModel **model);

/* Where Gymnasium's models are: $POLYAK_MUJOCO_ASSETS, or the folder that was found when this was
 * built; "" when there was none. */
const char *mujoco_assets_folder(void);

/* Makes one line of a message of MuJoCo's, which may have several. */
void mujoco_one_line(char *text);

/* Calls run(arg), in which MuJoCo may fail: then ERR_ENV with its words, and whatever it worked on
 * must not be used again. */
int mujoco_guard(void (*run)(void *), void *arg, Err *err);

#endif
