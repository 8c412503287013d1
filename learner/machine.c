#include "learner/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "common/kernels.h"
#include "common/matmul.h"

enum { TEXT_BYTES = 256 };

static void read_cpu_model(char text[TEXT_BYTES])
{
    char line[TEXT_BYTES];
    snprintf(text, TEXT_BYTES, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, "model name", 10) != 0)
            continue;
        const char *name = colon + 1 + strspn(colon + 1, " \t");
        snprintf(text, TEXT_BYTES, "%.*s", (int)strcspn(name, "\n"), name);
        break;
    }
    if (file)
        fclose(file);
}

json_t *machine_describe(int threads)
{
    char cpu[TEXT_BYTES];
    const char *forced = getenv("POLYAK_MATMUL");
    read_cpu_model(cpu);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:i, s:s}", "polyak_version",
                     POLYAK_VERSION, "build_id", POLYAK_BUILD_ID, "compiler", __VERSION__, "isa",
                     kernels()->isa, "openblas", openblas_get_config(), "openblas_core",
                     openblas_get_corename(), "matmul", forced && *forced ? forced : "by size",
                     "flush_to_zero", 1, "threads", threads, "cpu", cpu);
}

/* Appends "key: value here, value there"; NULL is unknown. */
static int say(char *text, int text_bytes, int used, const char *key, const json_t *here,
               const json_t *there)
{
    if (used >= text_bytes)
        return used;
    char *a = here ? json_dumps(here, JSON_ENCODE_ANY) : NULL;
    char *b = there ? json_dumps(there, JSON_ENCODE_ANY) : NULL;
    used += snprintf(text + used, (size_t)(text_bytes - used), "%s%s: %s here, %s there",
                     used > 0 ? "; " : "", key, a ? a : "unknown", b ? b : "unknown");
    free(a);
    free(b);
    return used;
}

void machine_difference(const json_t *here, const json_t *there, char *text, int text_bytes)
{
    int used = 0;
    const char *key;
    json_t *value;
    text[0] = '\0';
    json_object_foreach((json_t *)here, key, value)
    {
        const json_t *theirs = json_object_get(there, key);
        if (!json_equal(value, theirs))
            used = say(text, text_bytes, used, key, value, theirs);
    }
    json_object_foreach((json_t *)there, key, value)
    {
        if (!json_object_get(here, key))
            used = say(text, text_bytes, used, key, NULL, value);
    }
}
