#include "actor/envs/mujoco/picture.h"

#include <stdlib.h>
#include <string.h>

#include <mujoco/mujoco.h>

#include "actor/envs/mujoco/gl_context.h"
#include "actor/envs/mujoco/model.h"

enum { GEOMS_MAX = 10000 }; /* of a scene, with what decorates it */

struct MujocoPicture {
    const MujocoSim *sim;
    GlContext *gl;
    mjvScene scene;
    mjvOption option;
    mjvCamera camera;
    mjrContext context;
    int track; /* the body that the camera follows, or −1 */
    bool made; /* scene and context */
    bool broken;
    uint8_t *row; /* (3 width) */
    int width, height;
};

/* --- The camera ------------------------------------------------------------------------------ */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The middle of a model, as Gymnasium's pictures have it: the median of its geoms' places. */
static int find_middle(const mjModel *m, const mjData *d, double middle[3], Err *err)
{
    int count = (int)m->ngeom;
    double *values = calloc((size_t)count + 1, sizeof *values);
    if (!values)
        return err_set(err, ERR_NOMEM, "no memory for pictures");
    for (int axis = 0; axis < 3; axis++) {
        for (int i = 0; i < count; i++)
            values[i] = d->geom_xpos[3 * (ptrdiff_t)i + axis];
        qsort(values, (size_t)count, sizeof *values, compare_doubles);
        middle[axis] = count ? 0.5 * (values[(count - 1) / 2] + values[count / 2]) : 0.0;
    }
    free(values);
    return ERR_OK;
}

static int set_camera(MujocoPicture *picture, Err *err)
{
    const MujocoCamera *wanted = &mujoco_sim_task(picture->sim)->camera;
    const mjModel *m = mujoco_sim_model(picture->sim);
    mjvCamera *camera = &picture->camera;
    mjv_defaultCamera(camera);
    camera->type = mjCAMERA_FREE;
    camera->azimuth = wanted->azimuth;
    camera->elevation = wanted->elevation;
    camera->distance = wanted->distance > 0.0 ? wanted->distance : m->stat.extent;
    picture->track = wanted->track[0] ? mj_name2id(m, mjOBJ_BODY, wanted->track) : -1;
    memcpy(camera->lookat, wanted->lookat, sizeof camera->lookat);
    if (wanted->lookat[0] != 0.0 || wanted->lookat[1] != 0.0 || wanted->lookat[2] != 0.0)
        return ERR_OK;
    return find_middle(m, mujoco_sim_data(picture->sim), camera->lookat, err);
}

/* --- Making one ------------------------------------------------------------------------------ */

static void make(void *arg)
{
    MujocoPicture *picture = arg;
    const mjModel *m = mujoco_sim_model(picture->sim);
    mjv_makeScene(m, &picture->scene, GEOMS_MAX);
    mjr_makeContext(m, &picture->context, mjFONTSCALE_100);
    mjr_setBuffer(mjFB_OFFSCREEN, &picture->context);
}

int mujoco_picture_new(const MujocoSim *sim, MujocoPicture **picture, Err *err)
{
    MujocoPicture *made = calloc(1, sizeof *made);
    if (!made)
        return err_set(err, ERR_NOMEM, "no memory for pictures");
    made->sim = sim;
    mjv_defaultScene(&made->scene);
    mjv_defaultOption(&made->option);
    mjr_defaultContext(&made->context);
    int rc = set_camera(made, err);
    if (rc == ERR_OK)
        rc = gl_context_new(&made->gl, err);
    if (rc == ERR_OK)
        rc = gl_context_begin(made->gl, err);
    if (rc == ERR_OK) {
        rc = mujoco_guard(make, made, err);
        made->made = rc == ERR_OK;
        gl_context_end(made->gl);
    }
    if (rc == ERR_OK)
        *picture = made;
    else
        mujoco_picture_destroy(&made);
    return rc;
}

void mujoco_picture_destroy(MujocoPicture **picture)
{
    MujocoPicture *gone = *picture;
    if (!gone)
        return;
    *picture = NULL;
    if (gone->made && gl_context_begin(gone->gl, NULL) == ERR_OK) {
        mjr_freeContext(&gone->context);
        gl_context_end(gone->gl);
    }
    mjv_freeScene(&gone->scene);
    gl_context_destroy(&gone->gl);
    free(gone->row);
    free(gone);
}

/* --- Drawing --------------------------------------------------------------------------------- */

typedef struct DrawCall {
    MujocoPicture *picture;
    uint8_t *rgb;
    int width, height;
} DrawCall;

static void draw(void *arg)
{
    const DrawCall *call = arg;
    MujocoPicture *picture = call->picture;
    mjData *d = mujoco_sim_data(picture->sim);
    mjrRect all = {0, 0, call->width, call->height};
    if (picture->width != call->width || picture->height != call->height) {
        mjr_resizeOffscreen(call->width, call->height, &picture->context);
        picture->width = call->width;
        picture->height = call->height;
    }
    if (picture->track >= 0) {
        const mjtNum *place = d->subtree_com + 3 * (ptrdiff_t)picture->track;
        picture->camera.lookat[0] = place[0];
        picture->camera.lookat[1] = place[1];
    }
    mjv_updateScene(mujoco_sim_model(picture->sim), d, &picture->option, NULL, &picture->camera,
                    mjCAT_ALL, &picture->scene);
    mjr_setBuffer(mjFB_OFFSCREEN, &picture->context);
    mjr_render(all, &picture->scene, &picture->context);
    mjr_readPixels(call->rgb, NULL, all, &picture->context);
}

/* OpenGL's rows begin at the bottom. */
static void turn_over(uint8_t *rgb, uint8_t *row, int width, int height)
{
    size_t bytes = (size_t)width * 3;
    for (int top = 0, bottom = height - 1; top < bottom; top++, bottom--) {
        memcpy(row, rgb + (size_t)top * bytes, bytes);
        memcpy(rgb + (size_t)top * bytes, rgb + (size_t)bottom * bytes, bytes);
        memcpy(rgb + (size_t)bottom * bytes, row, bytes);
    }
}

int mujoco_picture_draw(MujocoPicture *picture, uint8_t *rgb, int width, int height, Err *err)
{
    if (picture->broken)
        return err_set(err, ERR_ENV, "no more pictures after a failure");
    if (width > picture->width || !picture->row) {
        free(picture->row);
        picture->row = malloc((size_t)width * 3);
        if (!picture->row)
            return err_set(err, ERR_NOMEM, "no memory for pictures");
    }
    int rc = gl_context_begin(picture->gl, err);
    if (rc != ERR_OK)
        return rc;
    DrawCall call = {picture, rgb, width, height};
    rc = mujoco_guard(draw, &call, err);
    picture->broken = rc != ERR_OK;
    gl_context_end(picture->gl);
    if (rc == ERR_OK)
        turn_over(rgb, picture->row, width, height);
    return rc;
}
