#include "actor/envs/mujoco/terms.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"

const char *const mujoco_source_names[MUJOCO_NUM_SOURCES] = {
    [MUJOCO_NOTHING] = "",
    [MUJOCO_QPOS] = "qpos",
    [MUJOCO_QVEL] = "qvel",
    [MUJOCO_ACT] = "act",
    [MUJOCO_CTRL] = "ctrl",
    [MUJOCO_QFRC_ACTUATOR] = "qfrc_actuator",
    [MUJOCO_QFRC_CONSTRAINT] = "qfrc_constraint",
    [MUJOCO_CINERT] = "cinert",
    [MUJOCO_CVEL] = "cvel",
    [MUJOCO_CFRC_EXT] = "cfrc_ext",
    [MUJOCO_SENSOR] = "sensor",
    [MUJOCO_BODY_POSITION] = "body_position",
    [MUJOCO_BODY_AXES] = "body_axes",
    [MUJOCO_SUBTREE_COM] = "subtree_com",
    [MUJOCO_GEOM_POSITION] = "geom_position",
    [MUJOCO_SITE_POSITION] = "site_position",
};

/* How a source lies in the model and its data. */
typedef struct Layout {
    const mjtNum *data;
    int size;      /* of all, or of one object */
    mjtObj object; /* what an object of it is, or mjOBJ_UNKNOWN for an array */
    bool whole;    /* may stand without an object */
} Layout;

static Layout layout_of(MujocoSource source, const mjModel *m, const mjData *d)
{
    switch (source) {
    case MUJOCO_QPOS:
        return (Layout){d->qpos, (int)m->nq, mjOBJ_UNKNOWN, true};
    case MUJOCO_QVEL:
        return (Layout){d->qvel, (int)m->nv, mjOBJ_UNKNOWN, true};
    case MUJOCO_ACT:
        return (Layout){d->act, (int)m->na, mjOBJ_UNKNOWN, true};
    case MUJOCO_CTRL:
        return (Layout){d->ctrl, (int)m->nu, mjOBJ_UNKNOWN, true};
    case MUJOCO_QFRC_ACTUATOR:
        return (Layout){d->qfrc_actuator, (int)m->nv, mjOBJ_UNKNOWN, true};
    case MUJOCO_QFRC_CONSTRAINT:
        return (Layout){d->qfrc_constraint, (int)m->nv, mjOBJ_UNKNOWN, true};
    case MUJOCO_CINERT:
        return (Layout){d->cinert, (int)m->nbody * 10, mjOBJ_UNKNOWN, true};
    case MUJOCO_CVEL:
        return (Layout){d->cvel, (int)m->nbody * 6, mjOBJ_UNKNOWN, true};
    case MUJOCO_CFRC_EXT:
        return (Layout){d->cfrc_ext, (int)m->nbody * 6, mjOBJ_UNKNOWN, true};
    case MUJOCO_SENSOR:
        return (Layout){d->sensordata, (int)m->nsensordata, mjOBJ_SENSOR, true};
    case MUJOCO_BODY_POSITION:
        return (Layout){d->xpos, 3, mjOBJ_BODY, false};
    case MUJOCO_BODY_AXES:
        return (Layout){d->xmat, 9, mjOBJ_BODY, false};
    case MUJOCO_SUBTREE_COM:
        return (Layout){d->subtree_com, 3, mjOBJ_BODY, false};
    case MUJOCO_GEOM_POSITION:
        return (Layout){d->geom_xpos, 3, mjOBJ_GEOM, false};
    case MUJOCO_SITE_POSITION:
        return (Layout){d->site_xpos, 3, mjOBJ_SITE, false};
    default:
        return (Layout){0};
    }
}

static int num_objects(const mjModel *m, mjtObj kind)
{
    switch (kind) {
    case mjOBJ_BODY:
        return (int)m->nbody;
    case mjOBJ_GEOM:
        return (int)m->ngeom;
    case mjOBJ_SITE:
        return (int)m->nsite;
    case mjOBJ_SENSOR:
        return (int)m->nsensor;
    default:
        return 0;
    }
}

/* Finds an object of a source: its numbers and how many. */
static int find_object(const Layout *layout, const mjModel *m, const char *name,
                       const mjtNum **data, int *size, Err *err)
{
    int id = mj_name2id(m, (int)layout->object, name);
    if (id < 0) {
        const char *nearest = NULL;
        for (int i = 0; i < num_objects(m, layout->object); i++) {
            const char *other = mj_id2name(m, (int)layout->object, i);
            if (other && (!nearest || text_distance(other, name) < text_distance(nearest, name)))
                nearest = other;
        }
        return err_set(err, ERR_USAGE, "the model has no %s '%s'%s%.60s",
                       mju_type2Str((int)layout->object), name, nearest ? ", perhaps " : "",
                       nearest ? nearest : "");
    }
    if (layout->object == mjOBJ_SENSOR) {
        *data = layout->data + m->sensor_adr[id];
        *size = m->sensor_dim[id];
    } else {
        *data = layout->data + (ptrdiff_t)layout->size * id;
        *size = layout->size;
    }
    return ERR_OK;
}

bool mujoco_slice(int size, int first, int count, int *begin, int *length)
{
    *begin = first < 0 ? size + first : first;
    *length = count > 0 ? count : size - *begin + count;
    return *begin >= 0 && *length > 0 && *length <= size - *begin;
}

static int bind(const MujocoQuantity *of, const mjModel *m, const mjData *d, MujocoView *view,
                Err *err)
{
    Layout layout = layout_of(of->source, m, d);
    const char *name = mujoco_source_names[of->source];
    const mjtNum *data = layout.data, *minus = NULL;
    int size = layout.size, minus_size = 0, begin, length, rc = ERR_OK;
    if (of->object[0] && layout.object == mjOBJ_UNKNOWN)
        return err_set(err, ERR_USAGE, "%s has no objects, not '%s' either", name, of->object);
    if (!of->object[0] && (!layout.whole || of->minus[0]))
        return err_set(err, ERR_USAGE, "%s needs an object", name);
    if (of->object[0])
        rc = find_object(&layout, m, of->object, &data, &size, err);
    if (rc == ERR_OK && of->minus[0])
        rc = find_object(&layout, m, of->minus, &minus, &minus_size, err);
    if (rc != ERR_OK)
        return rc;
    if (minus && minus_size != size)
        return err_set(err, ERR_USAGE, "%s '%s' has %d elements, '%s' has %d", name, of->object,
                       size, of->minus, minus_size);
    if (!mujoco_slice(size, of->first, of->count, &begin, &length))
        return err_set(err, ERR_USAGE, "%s%s%s has %d elements, not those with first %d, count %d",
                       name, of->object[0] ? " of " : "", of->object, size, of->first, of->count);
    *view = (MujocoView){data + begin, minus ? minus + begin : NULL, length};
    return ERR_OK;
}

int mujoco_terms_bind(MujocoTerms *terms, const MujocoTask *task, const mjModel *model,
                      const mjData *data, Err *err)
{
    *terms = (MujocoTerms){.task = task,
                           .timestep = model->opt.timestep,
                           .dt = model->opt.timestep * task->frame_skip};
    int rc = ERR_OK;
    for (int i = 0; rc == ERR_OK && task->observation[i].of.source; i++) {
        if (task->observation[i].left_out)
            continue;
        rc = bind(&task->observation[i].of, model, data, &terms->observation[i], err);
        terms->obs_dim += terms->observation[i].count;
        terms->needs_forces |= task->observation[i].of.source == MUJOCO_CFRC_EXT;
    }
    for (int i = 0; rc == ERR_OK && task->reward[i].form; i++) {
        if (task->reward[i].of.source)
            rc = bind(&task->reward[i].of, model, data, &terms->reward[i], err);
        terms->needs_forces |= task->reward[i].of.source == MUJOCO_CFRC_EXT;
    }
    for (int i = 0; rc == ERR_OK && task->health[i].of.source; i++) {
        rc = bind(&task->health[i].of, model, data, &terms->health[i], err);
        terms->needs_forces |= task->health[i].of.source == MUJOCO_CFRC_EXT;
    }
    return rc;
}

static double clip(double value, const MujocoRange *range)
{
    if (range->low == range->high)
        return value;
    return value < range->low ? range->low : value > range->high ? range->high : value;
}

static double element(const MujocoQuantity *of, const MujocoView *view, int i)
{
    double value = view->data[i] - (view->minus ? view->minus[i] : 0.0);
    if (of->function == MUJOCO_SIN)
        value = sin(value);
    else if (of->function == MUJOCO_COS)
        value = cos(value);
    return clip(value, &of->clip);
}

void mujoco_terms_observe(const MujocoTerms *terms, double *obs)
{
    const MujocoObservation *part = terms->task->observation;
    for (int i = 0; part[i].of.source; i++)
        for (int j = 0; j < terms->observation[i].count; j++)
            *obs++ = element(&part[i].of, &terms->observation[i], j);
}

static double sum(const MujocoQuantity *of, const MujocoView *view)
{
    double total = 0.0;
    for (int j = 0; j < view->count; j++)
        total += element(of, view, j);
    return total;
}

void mujoco_terms_before(const MujocoTerms *terms, double *before)
{
    const MujocoReward *term = terms->task->reward;
    for (int i = 0; term[i].form; i++)
        before[i] = term[i].form == MUJOCO_VELOCITY ? sum(&term[i].of, &terms->reward[i]) : 0.0;
}

bool mujoco_terms_healthy(const MujocoTerms *terms)
{
    const MujocoHealth *health = terms->task->health;
    for (int i = 0; health[i].of.source; i++) {
        const MujocoRange *range = &health[i].range;
        for (int j = 0; j < terms->health[i].count; j++) {
            double x = element(&health[i].of, &terms->health[i], j);
            bool within = health[i].open ? x > range->low && x < range->high
                                         : x >= range->low && x <= range->high;
            if (!within) /* so too when x is no number */
                return false;
        }
    }
    return true;
}

/* Σ (x − target)², or of the magnitudes. */
static double sum_of_distances(const MujocoReward *term, const MujocoView *view)
{
    double total = 0.0;
    for (int j = 0; j < view->count; j++) {
        double distance = element(&term->of, view, j) - term->target;
        total += term->form == MUJOCO_ABSOLUTE ? fabs(distance) : distance * distance;
    }
    return term->form == MUJOCO_NORM ? sqrt(total) : total;
}

static double evaluate(const MujocoTerms *terms, int i, double before, bool healthy)
{
    const MujocoReward *term = &terms->task->reward[i];
    const MujocoView *view = &terms->reward[i];
    switch (term->form) {
    case MUJOCO_SUM:
        return sum(&term->of, view);
    case MUJOCO_SUM_PER_TIMESTEP:
        return sum(&term->of, view) / terms->timestep;
    case MUJOCO_VELOCITY:
        return (sum(&term->of, view) - before) / terms->dt;
    case MUJOCO_SQUARE:
    case MUJOCO_ABSOLUTE:
    case MUJOCO_NORM:
        return sum_of_distances(term, view);
    case MUJOCO_HEALTHY:
        return healthy;
    case MUJOCO_CONSTANT:
        return 1.0;
    default:
        return 0.0;
    }
}

double mujoco_terms_reward(const MujocoTerms *terms, const double *before, bool healthy)
{
    double reward = 0.0;
    const MujocoReward *term = terms->task->reward;
    for (int i = 0; term[i].form; i++) {
        double part = clip(term[i].weight * evaluate(terms, i, before[i], healthy), &term[i].limit);
        reward += term[i].cost ? -part : part;
    }
    return reward;
}
