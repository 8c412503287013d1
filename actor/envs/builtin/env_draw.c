#include "actor/envs/builtin/env_draw.h"

#include <math.h>

static void put(uint8_t *pixel, uint32_t colour)
{
    pixel[0] = (uint8_t)(colour >> 16);
    pixel[1] = (uint8_t)(colour >> 8);
    pixel[2] = (uint8_t)colour;
}

void env_draw_clear(const EnvCanvas *canvas, uint32_t colour)
{
    for (long i = 0; i < (long)canvas->width * canvas->height; i++)
        put(&canvas->rgb[3 * i], colour);
}

/* The index of the pixel at or before a position, kept within 0 … count - 1. */
static int pixel_index(double position, int count)
{
    return (int)fmin(fmax(floor(position), 0.0), count - 1.0);
}

void env_draw_line(const EnvCanvas *canvas, double x0, double y0, double x1, double y1,
                   double radius, uint32_t colour)
{
    /* From the world's units to pixels; y turns over. */
    double scale = fmin(canvas->width, canvas->height) / (2.0 * canvas->half_extent);
    double ax = 0.5 * canvas->width + (x0 - canvas->centre_x) * scale;
    double ay = 0.5 * canvas->height - (y0 - canvas->centre_y) * scale;
    double bx = 0.5 * canvas->width + (x1 - canvas->centre_x) * scale;
    double by = 0.5 * canvas->height - (y1 - canvas->centre_y) * scale;
    double r = radius * scale;
    double dx = bx - ax;
    double dy = by - ay;
    double length2 = dx * dx + dy * dy;

    int right = pixel_index(fmax(ax, bx) + r, canvas->width);
    int bottom = pixel_index(fmax(ay, by) + r, canvas->height);
    for (int row = pixel_index(fmin(ay, by) - r, canvas->height); row <= bottom; row++) {
        for (int column = pixel_index(fmin(ax, bx) - r, canvas->width); column <= right; column++) {
            double px = column + 0.5 - ax;
            double py = row + 0.5 - ay;
            double along = length2 > 0.0 ? (px * dx + py * dy) / length2 : 0.0;
            along = fmin(fmax(along, 0.0), 1.0);
            if (hypot(px - along * dx, py - along * dy) <= r)
                put(&canvas->rgb[3 * ((long)row * canvas->width + column)], colour);
        }
    }
}
