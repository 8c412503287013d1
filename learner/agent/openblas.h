/* OpenBLAS as the library of large matrix products (common/matmul.h), always with one thread: the
 * trainer's team is what runs on several cores. */
#ifndef POLYAK_LEARNER_AGENT_OPENBLAS_H
#define POLYAK_LEARNER_AGENT_OPENBLAS_H

#include "common/err.h"

/* Pins OpenBLAS to one thread and installs it. The first call decides, later ones repeat its
 * result; no product may be under way at the first. ERR_USAGE when OpenBLAS keeps more threads. */
int openblas_install(Err *err);

#endif
