/* Draws a simulation. Made when the first picture is asked for; belongs to one simulation, and to
 * one thread at a time. */
#ifndef POLYAK_ACTOR_ENVS_MUJOCO_PICTURE_H
#define POLYAK_ACTOR_ENVS_MUJOCO_PICTURE_H

#include <stdint.h>

#include "actor/envs/mujoco/sim.h"

typedef struct MujocoPicture MujocoPicture;

/* `sim` must outlive the picture. ERR_MISSING when this machine cannot draw, with the packages to
 * install; ERR_USAGE when the camera is to follow a body that is not there; ERR_ENV, ERR_NOMEM. */
int mujoco_picture_new(const MujocoSim *sim, MujocoPicture **picture, Err *err);
void mujoco_picture_destroy(MujocoPicture **picture);

/* Draws the present state: rgb (height, width, 3), rows from the top. ERR_ENV, ERR_NOMEM. */
int mujoco_picture_draw(MujocoPicture *picture, uint8_t *rgb, int width, int height, Err *err);

#endif
