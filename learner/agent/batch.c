#include "learner/agent/batch.h"

#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/err.h"

int batch_new(Batch *batch, int rows, int obs_dim, int act_dim)
{
    CHECK(rows >= 1 && obs_dim >= 1 && act_dim >= 1);
    memset(batch, 0, sizeof *batch);
    size_t num_rows = (size_t)rows;
    size_t width = (size_t)obs_dim + (size_t)act_dim;
    float *obs_action = calloc(num_rows * width, sizeof *obs_action);
    float *next_obs_action = calloc(num_rows * width, sizeof *next_obs_action);
    float *reward = calloc(num_rows, sizeof *reward);
    float *bootstrap = calloc(num_rows, sizeof *bootstrap);
    *batch = (Batch){rows, obs_dim, act_dim, obs_action, next_obs_action, reward, bootstrap};
    if (!obs_action || !next_obs_action || !reward || !bootstrap) {
        batch_destroy(batch);
        return ERR_NOMEM;
    }
    return 0;
}

void batch_destroy(Batch *batch)
{
    free(batch->obs_action);
    free(batch->next_obs_action);
    free(batch->reward);
    free(batch->bootstrap);
    memset(batch, 0, sizeof *batch);
}
