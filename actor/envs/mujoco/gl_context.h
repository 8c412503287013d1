/* An OpenGL context without a window: EGL, on a GPU or in software, else OSMesa. Both libraries are
 * loaded when the first context is made, so training needs neither.
 *
 * A context is current between begin and end only, so any thread may use it, one at a time. */
#ifndef POLYAK_ACTOR_ENVS_MUJOCO_GL_CONTEXT_H
#define POLYAK_ACTOR_ENVS_MUJOCO_GL_CONTEXT_H

#include "common/err.h"

typedef struct GlContext GlContext;

/* ERR_MISSING with the packages to install when nothing works. */
int gl_context_new(GlContext **gl, Err *err);
void gl_context_destroy(GlContext **gl);

/* ERR_ENV when it cannot be made current. */
int gl_context_begin(GlContext *gl, Err *err);
void gl_context_end(GlContext *gl);

#endif
