#include "actor/envs/mujoco/gl_context.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What is used of EGL's and OSMesa's headers, so that they are not needed to build. */
enum {
    EGL_NONE = 0x3038,
    EGL_DEPTH_SIZE = 0x3025,
    EGL_SURFACE_TYPE = 0x3033,
    EGL_PBUFFER_BIT = 0x0001,
    EGL_RENDERABLE_TYPE = 0x3040,
    EGL_OPENGL_BIT = 0x0008,
    EGL_OPENGL_API = 0x30A2,
    EGL_PLATFORM_DEVICE_EXT = 0x313F,
    EGL_PLATFORM_SURFACELESS_MESA = 0x31DD,
    EGL_DEVICES_MAX = 16,
    OSMESA_RGBA = 0x1908,
    GL_UNSIGNED_BYTE = 0x1401,
    OSMESA_SIDE = 16, /* its own buffer is not drawn to: MuJoCo has a framebuffer of its own */
};

typedef void AnyFunction(void);

/* The functions of one library, and EGL's display. Filled once, then only read: neither library is
 * unloaded again, since their drivers do not take that well. */
static struct {
    pthread_mutex_t mutex;
    bool egl_tried, osmesa_tried;
    void *display; /* NULL: no EGL */
    void *config;
    AnyFunction *(*egl_address)(const char *name);
    unsigned (*egl_bind_api)(unsigned api);
    void *(*egl_create)(void *display, void *config, void *share, const int32_t *attributes);
    unsigned (*egl_destroy)(void *display, void *context);
    unsigned (*egl_make_current)(void *display, void *draw, void *read, void *context);
    void *(*osmesa_create)(unsigned format, int depth, int stencil, int accum, void *share);
    void (*osmesa_destroy)(void *context);
    unsigned char (*osmesa_make_current)(void *context, void *buffer, unsigned type, int width,
                                         int height);
} library = {.mutex = PTHREAD_MUTEX_INITIALIZER};

struct GlContext {
    bool egl;
    void *context;
    unsigned char buffer[OSMESA_SIDE * OSMESA_SIDE * 4];
};

/* Writes the function of that name to *function, which is a pointer to one. POSIX lets a symbol's
 * address be a function; ISO C has no cast for it. */
static bool find(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

/* --- EGL ------------------------------------------------------------------------------------- */

typedef void *GetDisplay(unsigned platform, void *native, const int32_t *attributes);
typedef unsigned QueryDevices(int32_t max, void **devices, int32_t *count);
typedef unsigned Initialize(void *display, int32_t *major, int32_t *minor);

/* The first display that works: of a device (a GPU's driver offers nothing else), then Mesa's. */
static void *open_display(GetDisplay *get_display, QueryDevices *query_devices,
                          Initialize *initialize)
{
    void *devices[EGL_DEVICES_MAX];
    int32_t count = 0;
    if (query_devices && !query_devices(EGL_DEVICES_MAX, devices, &count))
        count = 0;
    for (int32_t i = 0; i < count; i++) {
        void *display = get_display(EGL_PLATFORM_DEVICE_EXT, devices[i], NULL);
        if (display && initialize(display, NULL, NULL))
            return display;
    }
    void *display = get_display(EGL_PLATFORM_SURFACELESS_MESA, NULL, NULL);
    return display && initialize(display, NULL, NULL) ? display : NULL;
}

static void load_egl(void)
{
    static const int32_t attributes[] = {EGL_SURFACE_TYPE, EGL_PBUFFER_BIT, EGL_RENDERABLE_TYPE,
                                         EGL_OPENGL_BIT,   EGL_DEPTH_SIZE,  24,
                                         EGL_NONE};
    Initialize *initialize;
    unsigned (*choose)(void *display, const int32_t *wanted, void **configs, int32_t max,
                       int32_t *count);
    void *handle = dlopen("libEGL.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!handle || !find(handle, "eglGetProcAddress", &library.egl_address) ||
        !find(handle, "eglInitialize", &initialize) || !find(handle, "eglChooseConfig", &choose) ||
        !find(handle, "eglBindAPI", &library.egl_bind_api) ||
        !find(handle, "eglCreateContext", &library.egl_create) ||
        !find(handle, "eglDestroyContext", &library.egl_destroy) ||
        !find(handle, "eglMakeCurrent", &library.egl_make_current))
        return;
    GetDisplay *get_display = (GetDisplay *)library.egl_address("eglGetPlatformDisplayEXT");
    if (!get_display)
        return;
    void *display = open_display(
        get_display, (QueryDevices *)library.egl_address("eglQueryDevicesEXT"), initialize);
    int32_t count = 0;
    if (display && choose(display, attributes, &library.config, 1, &count) && count == 1)
        library.display = display;
}

static bool make_egl(GlContext *gl)
{
    if (!library.egl_tried)
        load_egl();
    library.egl_tried = true;
    if (!library.display || !library.egl_bind_api(EGL_OPENGL_API))
        return false;
    gl->egl = true;
    gl->context = library.egl_create(library.display, library.config, NULL, NULL);
    return gl->context != NULL;
}

/* --- OSMesa ---------------------------------------------------------------------------------- */

static void load_osmesa(void)
{
    /* Global, since MuJoCo looks for it among the loaded libraries. */
    void *handle = dlopen("libOSMesa.so.8", RTLD_NOW | RTLD_GLOBAL);
    if (!handle)
        handle = dlopen("libOSMesa.so.6", RTLD_NOW | RTLD_GLOBAL);
    if (!handle || !find(handle, "OSMesaDestroyContext", &library.osmesa_destroy) ||
        !find(handle, "OSMesaMakeCurrent", &library.osmesa_make_current) ||
        !find(handle, "OSMesaCreateContextExt", &library.osmesa_create))
        library.osmesa_create = NULL;
}

static bool make_osmesa(GlContext *gl)
{
    if (!library.osmesa_tried)
        load_osmesa();
    library.osmesa_tried = true;
    if (!library.osmesa_create)
        return false;
    gl->egl = false;
    gl->context = library.osmesa_create(OSMESA_RGBA, 24, 8, 0, NULL);
    return gl->context != NULL;
}

/* --- Both ------------------------------------------------------------------------------------ */

int gl_context_new(GlContext **gl, Err *err)
{
    GlContext *made = calloc(1, sizeof *made);
    if (!made)
        return err_set(err, ERR_NOMEM, "no memory for pictures");
    pthread_mutex_lock(&library.mutex);
    bool good = make_egl(made) || make_osmesa(made);
    pthread_mutex_unlock(&library.mutex);
    if (!good) {
        free(made);
        return err_set(err, ERR_MISSING,
                       "no pictures without EGL or OSMesa: apt-get install libegl1 "
                       "libgl1-mesa-dri (or libosmesa6)");
    }
    *gl = made;
    return ERR_OK;
}

void gl_context_destroy(GlContext **gl)
{
    if (!*gl)
        return;
    if ((*gl)->egl)
        library.egl_destroy(library.display, (*gl)->context);
    else
        library.osmesa_destroy((*gl)->context);
    free(*gl);
    *gl = NULL;
}

int gl_context_begin(GlContext *gl, Err *err)
{
    bool good = gl->egl ? library.egl_bind_api(EGL_OPENGL_API) &&
                              library.egl_make_current(library.display, NULL, NULL, gl->context)
                        : library.osmesa_make_current(gl->context, gl->buffer, GL_UNSIGNED_BYTE,
                                                      OSMESA_SIDE, OSMESA_SIDE);
    return good ? ERR_OK
                : err_set(err, ERR_ENV, "%s refuses its context", gl->egl ? "EGL" : "OSMesa");
}

void gl_context_end(GlContext *gl)
{
    if (gl->egl)
        library.egl_make_current(library.display, NULL, NULL, NULL);
    else
        library.osmesa_make_current(NULL, NULL, GL_UNSIGNED_BYTE, 0, 0);
}
