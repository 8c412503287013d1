/* Pictures of the built-in environments: shapes on an RGB image, in the units of the world. */
#ifndef POLYAK_ACTOR_ENVS_BUILTIN_ENV_DRAW_H
#define POLYAK_ACTOR_ENVS_BUILTIN_ENV_DRAW_H

#include <stdint.h>

/* An image and where it looks: (centre_x, centre_y) in the middle, y upwards, and at least
 * `half_extent` visible to every side. */
typedef struct EnvCanvas {
    uint8_t *rgb; /* (height, width, 3) rows from the top */
    int width;
    int height;
    double centre_x;
    double centre_y;
    double half_extent;
} EnvCanvas;

/* Fills the image; colours are 0xRRGGBB. */
void env_draw_clear(const EnvCanvas *canvas, uint32_t colour);

/* A line with round ends: all points within `radius` of it. Equal ends make a disc. */
void env_draw_line(const EnvCanvas *canvas, double x0, double y0, double x1, double y1,
                   double radius, uint32_t colour);

#endif
