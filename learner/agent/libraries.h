/* The libraries of matrix products (common/matmul.h) that the learner uses beside its own kernels:
 * libxsmm, which compiles kernels for small sizes at run time, where it was found when Polyak was
 * built; and OpenBLAS for large sizes. Both always with one thread: the trainer's team is what runs
 * on several cores.
 *
 * POLYAK_MATMUL=kernels|libxsmm|openblas gives every product that one can do to that one, for
 * measurements; without it the rule of matmul.c holds. */
#ifndef POLYAK_LEARNER_AGENT_LIBRARIES_H
#define POLYAK_LEARNER_AGENT_LIBRARIES_H

#include "common/err.h"

/* Pins OpenBLAS to one thread and installs what POLYAK_MATMUL asks for. The first call decides,
 * later ones repeat its result; no product may be under way at the first. ERR_USAGE when OpenBLAS
 * keeps more threads, or when POLYAK_MATMUL is no known word or was not built in. */
int libraries_install(Err *err);

#endif
