/* Models and task files for tests, in a folder of their own. */
#ifndef POLYAK_TESTS_ACTOR_ENVS_MUJOCO_MUJOCO_FILES_H
#define POLYAK_TESTS_ACTOR_ENVS_MUJOCO_MUJOCO_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES_PATH_MAX = 256 };

/* A cart with a hanging pole, and a body "mark" that slides; one sensor. Joints: cart, pole, mark.
 */
#define CART_XML                                                                                   \
    "<mujoco><option timestep='0.01'/><worldbody>"                                                 \
    "<body name='cart'><joint name='cart' type='slide' axis='1 0 0'/>"                             \
    "<geom name='box' type='box' size='0.1 0.1 0.1' mass='1'/>"                                    \
    "<body name='pole'><joint name='pole' type='hinge' axis='0 1 0'/>"                             \
    "<geom type='capsule' fromto='0 0 -0.2 0 0 -0.8' size='0.05' mass='0.3'/>"                     \
    "<site name='tip' pos='0 0 -0.8'/></body></body>"                                              \
    "<body name='mark' pos='0 1 0'><joint name='mark' type='slide' axis='1 0 0' ref='0.5'/>"       \
    "<geom type='sphere' size='0.1' mass='1'/></body></worldbody>"                                 \
    "<actuator><motor joint='cart' ctrlrange='%s'/></actuator>"                                    \
    "<sensor><jointvel name='speed' joint='cart'/></sensor></mujoco>"

#define CART_YAML                                                                                  \
    "start:\n"                                                                                     \
    "  - {of: qpos, count: 2, uniform: 0.1, name: reset_noise_scale}\n"                            \
    "  - {of: qpos, first: 2, low: [0.2], high: [0.4]}\n"                                          \
    "  - {of: qvel, normal: 0.5}\n"                                                                \
    "observation:\n"                                                                               \
    "  - {of: qpos}\n"                                                                             \
    "  - {of: qvel}\n"                                                                             \
    "  - {of: site_position, object: tip}\n"                                                       \
    "  - {of: sensor, object: speed, name: include_speed}\n"                                       \
    "reward:\n"                                                                                    \
    "  - {form: velocity, of: body_position, object: cart, count: 1, name: forward_weight}\n"      \
    "cost:\n"                                                                                      \
    "  - {form: norm, of: body_position, object: cart, minus: mark, weight: 0.5}\n"                \
    "  - {form: square, of: ctrl, weight: 0.1, name: ctrl_cost_weight}\n"                          \
    "healthy:\n"                                                                                   \
    "  - {of: qpos, first: 0, count: 1, range: [-2, 2], name: healthy_x_range}\n"

static char files_folder[FILES_PATH_MAX];

static inline int files_setup(void **state)
{
    (void)state;
    snprintf(files_folder, sizeof files_folder, "/tmp/polyak_mujoco_XXXXXX");
    return mkdtemp(files_folder) ? 0 : -1;
}

static inline int files_teardown(void **state)
{
    char command[FILES_PATH_MAX + 16];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", files_folder);
    return system(command);
}

static inline const char *files_path(const char *name)
{
    static _Thread_local char path[2 * FILES_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", files_folder, name);
    return path;
}

static inline void files_write(const char *name, const char *text)
{
    FILE *file = fopen(files_path(name), "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        perror(name);
}

/* The cart with these controls, and with this task; NULL: the task above. */
static inline void files_write_cart(const char *ctrlrange, const char *yaml)
{
    char text[4096];
    snprintf(text, sizeof text, CART_XML, ctrlrange);
    files_write("cart.xml", text);
    files_write("cart.yaml", yaml ? yaml : CART_YAML);
}

#endif
