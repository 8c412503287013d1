/* What a MuJoCo task is: a model, and how observation, reward, health and start are made of it.
 *
 * Everything that a task looks at is a *quantity*: some numbers of MuJoCo's state (positions,
 * velocities, the place of a body, contact forces, …). An observation is a list of quantities; a
 * reward is a sum of weighted quantities, each in one of a few forms; a task is healthy while its
 * quantities stay in their ranges; a start is made by drawing parts of qpos and qvel. So a task is
 * data: Gymnasium's are a table (tasks.c), others come from a YAML file (task_yaml.c), options
 * change single values (task_options.c), and one piece of code does them all (task.c, sim.c).
 *
 * A MujocoTask is a plain value: it may be copied, and owns nothing. Lists end with an entry whose
 * first member is 0. */
#ifndef POLYAK_ACTOR_ENVS_MUJOCO_TASK_H
#define POLYAK_ACTOR_ENVS_MUJOCO_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum {
    MUJOCO_NAME_BYTES = 64, /* of a name, with the terminating zero */
    MUJOCO_PATH_BYTES = 1024,
    MUJOCO_LIST_MAX = 32,    /* entries of a list */
    MUJOCO_BOX_DIMS_MAX = 3, /* elements of a start that are drawn together */
    MUJOCO_FRAME_SKIP_MAX = 1000,
};

typedef char MujocoName[MUJOCO_NAME_BYTES]; /* "" for none */

/* Both ends belong to it. low == high: no range at all. */
typedef struct MujocoRange {
    double low;
    double high;
} MujocoRange;

/* Where numbers come from. All but sin and cos of them are read as MuJoCo's step leaves them:
 * positions of bodies are those before the last integration of a step, as in Gymnasium. */
typedef enum MujocoSource {
    MUJOCO_NOTHING,         /* ends a list */
    MUJOCO_QPOS,            /* (nq) */
    MUJOCO_QVEL,            /* (nv) */
    MUJOCO_ACT,             /* (na) activations of actuators */
    MUJOCO_CTRL,            /* (nu) the action */
    MUJOCO_QFRC_ACTUATOR,   /* (nv) */
    MUJOCO_QFRC_CONSTRAINT, /* (nv) */
    MUJOCO_CINERT,          /* (nbody, 10) */
    MUJOCO_CVEL,            /* (nbody, 6) */
    MUJOCO_CFRC_EXT,        /* (nbody, 6) */
    MUJOCO_SENSOR,          /* (dim) of one sensor; of all without an object */
    MUJOCO_BODY_POSITION,   /* (3) */
    MUJOCO_BODY_AXES,       /* (3, 3) its rotation matrix by rows */
    MUJOCO_SUBTREE_COM,     /* (3) centre of mass of a body and all its children */
    MUJOCO_GEOM_POSITION,   /* (3) */
    MUJOCO_SITE_POSITION,   /* (3) */
    MUJOCO_NUM_SOURCES,
} MujocoSource;

/* As YAML and messages call them. */
extern const char *const mujoco_source_names[MUJOCO_NUM_SOURCES];

typedef enum MujocoFunction { MUJOCO_PLAIN, MUJOCO_SIN, MUJOCO_COS } MujocoFunction;

/* Elements first … first + count − 1 of a source, less those of another object, then sine or
 * cosine, then clipped. */
typedef struct MujocoQuantity {
    MujocoSource source;
    MujocoName object; /* the body, geom, site or sensor; for arrays none */
    MujocoName minus;  /* an object of the same kind that is subtracted */
    int first;         /* negative: counted from the end */
    int count;         /* 0: up to the end; negative: all but so many at the end */
    MujocoFunction function;
    MujocoRange clip;
    MujocoName clip_key; /* the option that sets `clip` */
} MujocoQuantity;

typedef struct MujocoObservation {
    MujocoQuantity of;
    MujocoName include_key; /* the option that leaves it out when false */
    MujocoName exclude_key; /* the option that lets it begin at element 0 when false */
    bool left_out;
} MujocoObservation;

/* f of a reward's quantity x with n elements. */
typedef enum MujocoForm {
    MUJOCO_NO_FORM,          /* ends a list */
    MUJOCO_SUM,              /* Σ x */
    MUJOCO_SUM_PER_TIMESTEP, /* Σ x / timestep of the physics */
    MUJOCO_VELOCITY,         /* (Σ x after the step − Σ x before it) / dt of the step */
    MUJOCO_SQUARE,           /* Σ (x − target)² */
    MUJOCO_ABSOLUTE,         /* Σ |x − target| */
    MUJOCO_NORM,             /* √ Σ (x − target)² */
    MUJOCO_HEALTHY,          /* 1 while healthy, else 0; no quantity */
    MUJOCO_CONSTANT,         /* 1; no quantity */
    MUJOCO_NUM_FORMS,
} MujocoForm;

/* Adds clip(weight · f(x), limit) to a step's reward, or takes it away. */
typedef struct MujocoReward {
    MujocoForm form;
    bool cost; /* it is taken away */
    double weight;
    MujocoQuantity of;
    double target;
    MujocoRange limit;
    MujocoName weight_key; /* the options that set `weight` and `limit` */
    MujocoName limit_key;
} MujocoReward;

/* Healthy while every element is a number within the range. */
typedef struct MujocoHealth {
    MujocoQuantity of;
    MujocoRange range;
    bool open; /* the ends of the range do not belong to it */
    MujocoName range_key;
} MujocoHealth;

typedef enum MujocoDistribution {
    MUJOCO_UNIFORM, /* in ±scale, added to the model's own start */
    MUJOCO_NORMAL,  /* standard deviation scale, added to it */
    MUJOCO_BOX,     /* uniform in low … high per element, in place of it */
} MujocoDistribution;

/* How elements of qpos or qvel start. What nothing draws starts as the model says, at rest. */
typedef struct MujocoDraw {
    MujocoSource source; /* MUJOCO_QPOS or MUJOCO_QVEL */
    int first;           /* as in a quantity */
    int count;
    MujocoDistribution distribution;
    double scale;
    double low[MUJOCO_BOX_DIMS_MAX]; /* of a box */
    double high[MUJOCO_BOX_DIMS_MAX];
    MujocoRange norm; /* a box is drawn again until its length is within, ends excluded */
    MujocoName key;   /* the option that sets `scale` */
} MujocoDraw;

/* Where pictures are taken from. Angles are in degrees; 0 distance: as far as the model is large.
 */
typedef struct MujocoCamera {
    MujocoName track; /* a body that it follows sideways */
    double distance;  /* m */
    double azimuth;
    double elevation;
    double
        lookat[3]; /* of it the height alone, when it follows a body; all 0: the model's middle */
} MujocoCamera;

typedef struct MujocoTask {
    MujocoName name;
    char model[MUJOCO_PATH_BYTES]; /* a file of Gymnasium's, or a path with a '/' */
    uint32_t model_hash;           /* of a path: of the bytes there */
    int frame_skip;                /* physics steps in one step */
    int step_limit;                /* 0: none */
    bool goes_on_unhealthy;        /* else the episode terminates */
    MujocoCamera camera;
    MujocoDraw start[MUJOCO_LIST_MAX + 1];
    MujocoObservation observation[MUJOCO_LIST_MAX + 1];
    MujocoReward reward[MUJOCO_LIST_MAX + 1];
    MujocoHealth health[MUJOCO_LIST_MAX + 1];
} MujocoTask;

/* Gymnasium's tasks, by their names there; the last one's name is "". */
extern const MujocoTask mujoco_tasks[];

/* Makes the task that an options string asks for: "task=NAME-OR-FILE[,key=value…]". *hashed says
 * whether its hash belongs to its name: it comes from a file, or the other options made it another
 * task than its name says. ERR_USAGE, ERR_MISSING, ERR_IO. */
int mujoco_task_parse(const char *options, MujocoTask *task, bool *hashed, Err *err);

/* Reads the task of a model file from the YAML file beside it. ERR_USAGE with file and line;
 * ERR_MISSING, ERR_IO of the model. */
int mujoco_task_read(const char *model_path, MujocoTask *task, Err *err);

/* Whether Gymnasium has a task of this name. */
bool mujoco_task_is_known(const char *name);

/* A number that is equal for equal tasks, whatever their names. */
uint32_t mujoco_task_hash(const MujocoTask *task);

/* Sets task->model_hash from the file. ERR_MISSING, ERR_IO. */
int mujoco_task_hash_model(MujocoTask *task, Err *err);

#endif
