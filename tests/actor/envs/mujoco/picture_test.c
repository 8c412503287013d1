/* Pictures: the right way up, of any size, of several simulations. Skipped where this machine has
 * neither EGL nor OSMesa. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "actor/envs/mujoco/gl_context.h"
#include "actor/envs/mujoco/picture.h"
#include "tests/actor/envs/mujoco/mujoco_files.h"

enum { WIDTH = 64, HEIGHT = 48, OBS_MAX = 16 };

/* A red ball on a rail above a blue one that stays. */
static const char balls_xml[] =
    "<mujoco><visual><headlight ambient='1 1 1'/></visual><worldbody>"
    "<body name='red' pos='0 0 1'><joint name='red' type='slide' axis='1 0 0'/>"
    "<geom size='0.3' rgba='1 0 0 1'/></body>"
    "<geom pos='0 0 -1' size='0.3' rgba='0 0 1 1'/></worldbody>"
    "<actuator><motor joint='red' ctrlrange='-1 1'/></actuator></mujoco>";

static const char balls_yaml[] = "observation: [{of: qpos}]\n"
                                 "reward: [{form: constant}]\n"
                                 "camera: {distance: 5, elevation: 0, azimuth: 90%s}\n";

static MujocoSim *open_balls(const char *camera)
{
    char options[3 * FILES_PATH_MAX], yaml[512];
    MujocoTask task;
    MujocoSim *sim = NULL;
    bool changed;
    double obs[OBS_MAX];
    Err err = {""};
    snprintf(yaml, sizeof yaml, balls_yaml, camera);
    files_write("balls.xml", balls_xml);
    files_write("balls.yaml", yaml);
    snprintf(options, sizeof options, "task=%s", files_path("balls.xml"));
    if (mujoco_task_parse(options, &task, &changed, &err) != ERR_OK ||
        mujoco_sim_new(&task, &sim, &err) != ERR_OK ||
        mujoco_sim_reset(sim, 1, obs, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return sim;
}

static void must_draw(MujocoPicture *picture, uint8_t *rgb, int width, int height)
{
    Err err = {""};
    if (mujoco_picture_draw(picture, rgb, width, height, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

/* The middle of the pixels in which this colour stands out; −1 in both when there are none. */
static void find_colour(const uint8_t *rgb, int width, int height, int colour, int *x, int *y)
{
    long count = 0, sum_x = 0, sum_y = 0;
    for (int i = 0; i < width * height; i++) {
        const uint8_t *pixel = rgb + 3 * (size_t)i;
        if (pixel[colour] < 100 || pixel[(colour + 1) % 3] > 60 || pixel[(colour + 2) % 3] > 60)
            continue;
        count++;
        sum_x += i % width;
        sum_y += i / width;
    }
    *x = count ? (int)(sum_x / count) : -1;
    *y = count ? (int)(sum_y / count) : -1;
}

static void test_up_is_up_in_every_size(void **state)
{
    (void)state;
    static uint8_t rgb[3 * 200 * 100];
    Err err = {""};
    MujocoSim *sim = open_balls("");
    MujocoPicture *picture = NULL;
    if (mujoco_picture_new(sim, &picture, &err) != ERR_OK)
        fail_msg("%s", err.text);
    const int sizes[][2] = {{WIDTH, HEIGHT}, {200, 100}, {33, 77}, {1, 1}, {WIDTH, HEIGHT}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int width = sizes[i][0], height = sizes[i][1], red_x, red_y, blue_x, blue_y;
        must_draw(picture, rgb, width, height);
        if (height == 1)
            continue;
        find_colour(rgb, width, height, 0, &red_x, &red_y);
        find_colour(rgb, width, height, 2, &blue_x, &blue_y);
        assert_true(red_y >= 0 && red_y < height / 2 && blue_y > height / 2);
        assert_true(abs(red_x - width / 2) <= 2);
    }
    mujoco_picture_destroy(&picture);
    mujoco_sim_destroy(&sim);
}

static void test_a_picture_shows_its_own_simulation(void **state)
{
    (void)state;
    static uint8_t rgb[3 * WIDTH * HEIGHT];
    Err err = {""};
    double obs[OBS_MAX];
    MujocoSim *still = open_balls(""), *moved = open_balls(""),
              *followed = open_balls(", track: red");
    MujocoPicture *of_still = NULL, *of_moved = NULL, *of_followed = NULL;
    assert_int_equal(mujoco_picture_new(still, &of_still, &err), ERR_OK);
    assert_int_equal(mujoco_picture_new(moved, &of_moved, &err), ERR_OK);
    assert_int_equal(mujoco_picture_new(followed, &of_followed, &err), ERR_OK);
    assert_int_equal(mujoco_sim_set_state(moved, (double[]){1.0}, (double[]){0.0}, obs, &err),
                     ERR_OK);
    assert_int_equal(mujoco_sim_set_state(followed, (double[]){1.0}, (double[]){0.0}, obs, &err),
                     ERR_OK);
    int x, y;
    must_draw(of_moved, rgb, WIDTH, HEIGHT);
    find_colour(rgb, WIDTH, HEIGHT, 0, &x, &y);
    assert_true(x > WIDTH / 2 + 4); /* x grows to the right */
    must_draw(of_still, rgb, WIDTH, HEIGHT);
    find_colour(rgb, WIDTH, HEIGHT, 0, &x, &y);
    assert_true(abs(x - WIDTH / 2) <= 2);
    must_draw(of_followed, rgb, WIDTH, HEIGHT);
    find_colour(rgb, WIDTH, HEIGHT, 0, &x, &y);
    assert_true(abs(x - WIDTH / 2) <= 2);
    mujoco_picture_destroy(&of_still);
    mujoco_picture_destroy(&of_moved);
    mujoco_picture_destroy(&of_followed);
    mujoco_sim_destroy(&still);
    mujoco_sim_destroy(&moved);
    mujoco_sim_destroy(&followed);
}

static void test_drawing_changes_no_number(void **state)
{
    (void)state;
    static uint8_t rgb[3 * WIDTH * HEIGHT];
    Err err = {""};
    double first[3], second[3], reward;
    bool terminated;
    MujocoSim *sim = open_balls("");
    MujocoPicture *picture = NULL;
    assert_int_equal(mujoco_picture_new(sim, &picture, &err), ERR_OK);
    for (int i = 0; i < 3; i++)
        mujoco_sim_step(sim, (float[]){0.5f}, &first[i], &reward, &terminated, &err);
    assert_int_equal(mujoco_sim_reset(sim, 1, second, &err), ERR_OK);
    for (int i = 0; i < 3; i++) {
        must_draw(picture, rgb, WIDTH, HEIGHT);
        mujoco_sim_step(sim, (float[]){0.5f}, &second[i], &reward, &terminated, &err);
    }
    assert_memory_equal(first, second, sizeof first);
    mujoco_picture_destroy(&picture);
    mujoco_sim_destroy(&sim);
}

int main(void)
{
    GlContext *gl = NULL;
    Err err = {""};
    if (gl_context_new(&gl, &err) != ERR_OK) {
        printf("skipped: %s\n", err.text);
        return 77;
    }
    gl_context_destroy(&gl);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_up_is_up_in_every_size),
        cmocka_unit_test(test_a_picture_shows_its_own_simulation),
        cmocka_unit_test(test_drawing_changes_no_number),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
