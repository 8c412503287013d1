/* What an environment is to the rest of Polyak: its name and shapes. Travels in Hello; two specs
 * are equal when every field is. */
#ifndef POLYAK_COMMON_SPEC_H
#define POLYAK_COMMON_SPEC_H

#include <stdbool.h>

#include "common/err.h"

enum {
    SPEC_NAME_MAX = 127, /* bytes, without the terminating zero */
    SPEC_OBS_DIM_MAX = 4096,
    SPEC_ACT_DIM_MAX = 128,
};

typedef struct Spec {
    char name[SPEC_NAME_MAX + 1]; /* [A-Za-z0-9_.:/-], such as "pendulum" */
    int obs_dim;
    int act_dim;
    int step_limit;                      /* steps to truncation; 0: none */
    float action_low[SPEC_ACT_DIM_MAX];  /* (act_dim) finite, in the environment's own units */
    float action_high[SPEC_ACT_DIM_MAX]; /* (act_dim) finite, above action_low */
} Spec;

/* ERR_SPEC, with the reason, unless every field is within its limits. */
int spec_check(const Spec *spec, Err *err);

bool spec_equal(const Spec *a, const Spec *b);

/* Writes one line on how `other` differs from `run` into text, for the person who runs `other`. */
void spec_difference(const Spec *run, const Spec *other, char *text, int text_bytes);

#endif
